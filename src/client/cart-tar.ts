import { createHasher } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';
import { safePath } from '../lib/safe-path.js';
import { readTar } from '../lib/tar/reader.js';
import type { ManifestEntry } from './cart-manifest.js';

/** What is done with a file of a cart while its bytes go by. */
export interface FileSink {
  write(piece: Uint8Array): Promise<void>;
  /** its hash is right, where there is one to compare with */
  done(): Promise<void>;
  /** Takes back what was written. */
  discard(): Promise<void>;
}

export interface TarVisitor {
  /** @param path below the tar's top folder, checked: it can not lead elsewhere */
  folder(path: string): Promise<void>;
  file(path: string, facts: { size: number; mtimeMs: number }): Promise<FileSink>;
}

/** Looks only. */
const NOTHING: TarVisitor = {
  folder: () => Promise.resolve(),
  file: () =>
    Promise.resolve({
      write: () => Promise.resolve(),
      done: () => Promise.resolve(),
      discard: () => Promise.resolve(),
    }),
};

/**
 * Goes through the tar of a cart as it comes, and checks each file against the manifest.
 * @param top the folder that everything has to lie in
 * @param manifest in the order of the tar; files are not compared when absent
 * @throws PacificaError `integrity` when a file is wrong, missing or too many, or its name leads out of the folder;
 * what `chunks` and the visitor throw
 */
export async function visitTar(
  chunks: AsyncIterable<Uint8Array>,
  top: string,
  manifest: AsyncIterator<ManifestEntry> | undefined,
  visitor: TarVisitor = NOTHING,
): Promise<void> {
  try {
    await visitMembers(chunks, top, manifest, visitor);
  } catch (error) {
    // what is no tar is none that a cart service sends
    if (error instanceof PacificaError && error.code === 'invalid') throw wrong(error.message, error);
    throw error;
  }
}

async function visitMembers(
  chunks: AsyncIterable<Uint8Array>,
  top: string,
  manifest: AsyncIterator<ManifestEntry> | undefined,
  visitor: TarVisitor,
): Promise<void> {
  for await (const { path: name, type, size, mtimeMs, body } of readTar(chunks)) {
    const path = pathBelow(top, name, type);
    if (type === 'directory') {
      if (path !== '') await visitor.folder(path);
      continue;
    }
    if (type !== 'file' || path === '') throw wrong(`the tar has a ${type} ${JSON.stringify(name)}`);
    const expected = manifest === undefined ? undefined : await expectedOf(manifest, path);
    const hasher = expected === undefined ? undefined : createHasher(expected.type);
    const sink = await visitor.file(path, { size, mtimeMs });
    try {
      for await (const piece of body) {
        hasher?.update(piece);
        await sink.write(piece);
      }
      const sum = hasher?.digest('hex');
      if (expected !== undefined && sum !== expected.sum) {
        throw wrong(`${JSON.stringify(path)} came with ${expected.type} ${sum ?? ''}, it should be ${expected.sum}`);
      }
      await sink.done();
    } catch (error) {
      await sink.discard();
      throw error;
    }
  }
  const left = await manifest?.next();
  if (left?.done === false) throw wrong(`the tar ends before ${JSON.stringify(left.value.path)}`);
}

async function expectedOf(manifest: AsyncIterator<ManifestEntry>, path: string): Promise<ManifestEntry> {
  const next = await manifest.next();
  if (next.done === true) throw wrong(`the tar has a file that the manifest has not: ${JSON.stringify(path)}`);
  if (next.value.path === path) return next.value;
  throw wrong(`the tar has ${JSON.stringify(path)} in the place of ${JSON.stringify(next.value.path)}`);
}

/** @returns the path below the top folder; empty for that folder itself */
function pathBelow(top: string, name: string, type: string): string {
  const path = type === 'directory' ? name.replace(/\/$/, '') : name;
  if (path === top) return '';
  if (!path.startsWith(`${top}/`)) throw wrong(`the tar has ${JSON.stringify(name)} outside of its folder ${top}`);
  const below = path.slice(top.length + 1);
  try {
    if (safePath(below) === below) return below;
  } catch (error) {
    throw wrong(`the tar has a name that is not safe: ${JSON.stringify(name)}`, error);
  }
  throw wrong(`the tar has a name that is not safe: ${JSON.stringify(name)}`);
}

function wrong(message: string, cause?: unknown): PacificaError {
  return new PacificaError('integrity', message, { cause });
}
