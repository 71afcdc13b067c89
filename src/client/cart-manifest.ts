import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HashType } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';

/** A file of a cart and the hash that it must have. */
export interface ManifestEntry {
  /** below the tar's top folder */
  readonly path: string;
  readonly type: HashType;
  /** lower-case hex */
  readonly sum: string;
}

const NEWLINE = 0x0a;
/** by the number of hex digits */
const TYPES: Readonly<Record<number, HashType>> = {
  32: 'md5',
  40: 'sha1',
  56: 'sha224',
  64: 'sha256',
  96: 'sha384',
  128: 'sha512',
};
const UNESCAPED: Readonly<Record<string, string>> = { '\\\\': '\\', '\\n': '\n', '\\r': '\r' };

/**
 * The manifest of a cart, as `sha1sum` writes such lists; its lines stand in the order of the tar. It is kept in a file
 * that nobody else sees: a cart may have a million files.
 */
export class CartManifest {
  readonly #file: Awaited<ReturnType<typeof open>>;

  private constructor(file: Awaited<ReturnType<typeof open>>) {
    this.#file = file;
  }

  /** Reads it from a service. @throws whatever `body` throws */
  static async read(body: AsyncIterable<Uint8Array>): Promise<CartManifest> {
    const folder = await mkdtemp(join(tmpdir(), 'pacifica-manifest-'));
    const file = await open(join(folder, 'manifest'), 'w+');
    try {
      await rm(folder, { recursive: true });
      for await (const piece of body) await file.writeFile(piece);
      return new CartManifest(file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** @throws PacificaError `bad-gateway` for a line that is none of a manifest */
  async *entries(): AsyncGenerator<ManifestEntry> {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of this.#file.createReadStream({ start: 0, autoClose: false }) as AsyncIterable<Buffer>) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
        yield parseLine(bytes.toString('utf8', start, end));
        start = end + 1;
      }
      rest = bytes.subarray(start);
    }
    if (rest.length > 0) yield parseLine(rest.toString('utf8'));
  }

  /** Removes it. */
  async close(): Promise<void> {
    await this.#file.close();
  }
}

function parseLine(line: string): ManifestEntry {
  const [, escape, sum = '', name = ''] = /^(\\?)([0-9a-f]+) [ *](.+)$/s.exec(line) ?? [];
  const type = TYPES[sum.length];
  if (type === undefined) {
    throw new PacificaError('bad-gateway', `the cart's manifest has a line that is none: ${line.slice(0, 100)}`);
  }
  const path = escape === '' ? name : name.replace(/\\[\\nr]/g, (code) => UNESCAPED[code] ?? code);
  return { path, type, sum };
}
