import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { Header, Pax } from 'tar';
import { PacificaError } from '../lib/errors.js';
import { type RandomReader, readChunks } from '../lib/random-reader.js';
import { BLOCK, tarPadding } from '../lib/tar/header.js';
import type { Bundle } from './bundle.js';
import { factsOf, SteadyFile } from './steady-file.js';

const METADATA = 'metadata.txt';
/** longest pax header that is looked into */
const MAX_PAX = 1024 * 1024;

/**
 * A bundle that somebody made before. Its members are looked through first, from header to header, so that a tar that
 * is no bundle is not sent for hours to be refused.
 * @throws PacificaError `not-found`; `invalid` when it is no tar, or has no metadata.txt
 */
export async function readyBundle(path: string): Promise<Bundle> {
  const facts = factsOf(path);
  const reader = SteadyFile.open(path, facts);
  try {
    if (!(await hasMetadata(reader, path))) {
      throw new PacificaError('invalid', `${path} has no ${METADATA}, so it is no bundle`, {
        hint: 'give --project, --instrument and --submitter to send it as a file',
      });
    }
  } finally {
    await reader.close();
  }
  const key = createHash('sha256')
    .update(JSON.stringify([basename(path), facts.size, facts.mtimeMs]))
    .digest('hex');
  return { size: facts.size, key: `pacifica-${key}`, stream: () => bytesOf(SteadyFile.open(path, facts)) };
}

/** A tar that was just made here and whose key is known. */
export function savedBundle(path: string, { key, files }: Bundle): Bundle {
  const facts = factsOf(path);
  return { size: facts.size, key, files, stream: () => bytesOf(SteadyFile.open(path, facts)) };
}

async function* bytesOf(reader: RandomReader): AsyncGenerator<Buffer> {
  try {
    yield* readChunks(reader);
  } finally {
    await reader.close();
  }
}

async function hasMetadata(reader: RandomReader, path: string): Promise<boolean> {
  const block = Buffer.alloc(BLOCK);
  let extended: Pax | undefined;
  for (let position = 0; position + BLOCK <= reader.size;) {
    await reader.read(block, position);
    const header = headerOf(block, extended);
    if (header?.nullBlock === true) return false;
    if (header?.cksumValid !== true) {
      throw new PacificaError('invalid', `${path} is no tar: byte ${position} is no header`, {
        hint: 'a bundle is an uncompressed tar',
      });
    }
    const size = header.size ?? 0;
    position += BLOCK;
    extended = undefined;
    if (header.type === 'ExtendedHeader' && size <= MAX_PAX) {
      const text = Buffer.alloc(size);
      await reader.read(text, position);
      extended = Pax.parse(text.toString(), {});
    } else if (header.path === METADATA || header.path === `./${METADATA}`) return true;
    position += size + tarPadding(size);
  }
  return false;
}

/** @returns undefined where the library throws, for numbers that are none */
function headerOf(block: Buffer, extended: Pax | undefined): Header | undefined {
  try {
    return new Header(block, 0, extended);
  } catch {
    return undefined;
  }
}
