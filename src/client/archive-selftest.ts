import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import { eachLimit } from '../lib/each-limit.js';
import { messageOf, PacificaError } from '../lib/errors.js';
import type { ArchiveClient } from './archive-client.js';
import { retrying } from './http.js';

/** bytes of one of many small files */
const SMALL = 4096;
/** bytes a piece of the large file */
const PIECE = 1024 * 1024;
/** modification time that files are sent with, ms since 1970 */
const MTIME = Date.UTC(1994, 10, 6, 8, 49, 37);

/** How a step ended: `refused` when a rule of the site forbids it, which is no failure. */
export interface StepResult {
  readonly step: string;
  readonly outcome: 'passed' | 'refused' | 'failed';
  readonly ms: number;
  /** why it failed or was refused */
  readonly reason?: string;
  readonly error?: unknown;
}

export interface SelftestOptions {
  /** bytes */
  readonly largeFileSize: number;
  readonly manyFiles: number;
  /** small files that are under way at a time */
  readonly jobs: number;
  readonly signal: AbortSignal;
  readonly onStep: (result: StepResult) => void;
  readonly onBytes?: (bytes: number) => void;
}

/**
 * Tests an archive interface that is in use, ours or an original one, as somebody who has just set it up would: put,
 * status, stage, get, move and delete, one large file and many small ones. All under ids that nothing is under: random
 * ones from 2^62 on, which no site's counter reaches, and which are asked for first. Removes what it made, whatever
 * happens.
 */
export class ArchiveSelftest {
  readonly #client: ArchiveClient;
  readonly #options: SelftestOptions;
  /** ids that something may be under now */
  readonly #made = new Set<ArchiveId>();

  constructor(client: ArchiveClient, options: SelftestOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** @throws the signal's reason, after what was made is removed */
  async run(): Promise<void> {
    try {
      await this.#steps();
    } finally {
      await this.#step('clean up', () => this.#cleanUp(), { always: true });
    }
    this.#options.signal.throwIfAborted();
  }

  async #steps(): Promise<void> {
    const { largeFileSize, manyFiles } = this.#options;
    const one = await this.#freshId();
    const content = randomBytes(SMALL);
    const stored = await this.#step('put', () => this.#put(one, content));
    if (stored) {
      await this.#step('status', () => this.#checkStatus(one, content.length));
      await this.#step('stage', () => this.#client.stage(one, this.#options.signal));
      await this.#step('get', () => this.#checkBytes(one, sha256(content), content.length));
      await this.#step('get a part', () => this.#checkPart(one, content));
      await this.#step('put again', () => this.#checkReplace(one));
      await this.#step('move', () => this.#checkMove());
    }
    await this.#step('a file that is not there', async () => this.#requireMissing(await this.#freshId()));
    await this.#step(`large file, ${largeFileSize} bytes`, () => this.#checkLarge(largeFileSize));
    await this.#step(`${manyFiles} small files`, () => this.#checkMany(manyFiles));
    if (stored) {
      await this.#step('delete', async () => {
        await this.#delete(one);
        await this.#requireMissing(one);
      });
    }
  }

  /** @returns whether it passed */
  async #step(step: string, work: () => Promise<void>, { always = false } = {}): Promise<boolean> {
    if (!always && this.#options.signal.aborted) return false;
    const begun = performance.now();
    const told = (outcome: StepResult['outcome'], error?: unknown): void => {
      const reason = error === undefined ? undefined : messageOf(error);
      this.#options.onStep({ step, outcome, ms: Math.round(performance.now() - begun), reason, error });
    };
    try {
      await work();
      told('passed');
      return true;
    } catch (error) {
      if (!always && this.#options.signal.aborted) return false;
      told(error instanceof Refused ? 'refused' : 'failed', error);
      return false;
    }
  }

  /** @returns an id that the archive has nothing under */
  async #freshId(): Promise<ArchiveId> {
    for (;;) {
      const id = parseArchiveId(2n ** 62n + (randomBytes(8).readBigUInt64BE() >> 2n));
      try {
        await retrying(() => this.#client.status(id, this.#options.signal), { signal: this.#options.signal });
      } catch (error) {
        if (error instanceof PacificaError && error.code === 'not-found') return id;
        throw error;
      }
    }
  }

  async #put(id: ArchiveId, content: Buffer): Promise<void> {
    const { signal } = this.#options;
    const digest = { type: 'sha256', sum: sha256(content) } as const;
    this.#made.add(id);
    // nothing is replaced, also when somebody else is quicker than chance allows
    await this.#client.put(id, content, { size: content.length, mtimeMs: MTIME, digest, create: true, signal });
    this.#options.onBytes?.(content.length);
  }

  async #checkStatus(id: ArchiveId, size: number): Promise<void> {
    const status = await this.#client.status(id, this.#options.signal);
    demand(status.size === size, `it says ${status.size} bytes, ${size} were stored`);
    demand(status.path !== '', 'it does not say where the file lies');
    // an original keeps the time of the transfer, so it is not demanded there
    const kept = Math.abs(status.mtimeMs - MTIME) < 1000;
    demand(kept || !status.hasEtag, `it says ${new Date(status.mtimeMs).toISOString()}, not the time it was sent with`);
  }

  async #checkBytes(id: ArchiveId, sum: string, size: number): Promise<void> {
    const hash = createHash('sha256');
    let got = 0;
    const response = await this.#client.get(id, { signal: this.#options.signal });
    for await (const piece of response.body) {
      hash.update(piece);
      got += piece.length;
      this.#options.onBytes?.(piece.length);
    }
    demand(got === size, `${got} bytes came back, ${size} were stored`);
    demand(hash.digest('hex') === sum, 'other bytes came back than were stored');
  }

  async #checkPart(id: ArchiveId, content: Buffer): Promise<void> {
    const range = { start: 100, end: 1100 };
    const response = await this.#client.get(id, { range, signal: this.#options.signal });
    const pieces: Uint8Array[] = [];
    for await (const piece of response.body) pieces.push(piece);
    const part = content.subarray(range.start, range.end);
    demand(Buffer.concat(pieces).equals(part), 'other bytes came back than were stored');
  }

  async #checkReplace(id: ArchiveId): Promise<void> {
    const { signal } = this.#options;
    const content = randomBytes(SMALL + 1);
    try {
      await this.#client.put(id, content, { size: content.length, mtimeMs: MTIME, signal });
    } catch (error) {
      if (isRefusal(error)) throw new Refused('the archive is write-once', { cause: error });
      throw error;
    }
    await this.#checkBytes(id, sha256(content), content.length);
  }

  /** Moves a file of the archive itself to another id: its own folder is where every archive may take files from. */
  async #checkMove(): Promise<void> {
    const { signal } = this.#options;
    const [source, target] = [await this.#freshId(), await this.#freshId()];
    const content = randomBytes(SMALL);
    await this.#put(source, content);
    const { path } = await this.#client.status(source, signal);
    this.#made.add(target);
    try {
      await this.#client.move(target, path, { create: true, signal });
    } catch (error) {
      if (isRefusal(error)) throw new Refused(`the site allows no move from ${path}`, { cause: error });
      throw error;
    }
    await this.#checkBytes(target, sha256(content), content.length);
    await this.#requireMissing(source);
  }

  async #checkLarge(size: number): Promise<void> {
    const { signal, onBytes } = this.#options;
    const id = await this.#freshId();
    const sent = new RandomBody(size);
    this.#made.add(id);
    const watched = (async function* () {
      for await (const piece of sent.pieces()) {
        yield piece;
        onBytes?.(piece.length);
      }
    })();
    await this.#client.put(id, watched, { size, mtimeMs: MTIME, create: true, signal });
    await this.#checkStatus(id, size);
    await this.#checkBytes(id, sent.sum(), size);
    await this.#delete(id);
  }

  async #checkMany(count: number): Promise<void> {
    const { jobs, signal } = this.#options;
    const contents = new Map<ArchiveId, Buffer>();
    await eachLimit(Array.from({ length: count }), jobs, async () => {
      signal.throwIfAborted();
      const [id, content] = [await this.#freshId(), randomBytes(SMALL)];
      contents.set(id, createHash('sha256').update(content).digest());
      await this.#put(id, content);
    });
    await eachLimit(contents, jobs, async ([id, sum]) => {
      signal.throwIfAborted();
      await this.#checkBytes(id, sum.toString('hex'), SMALL);
      await this.#delete(id);
    });
  }

  async #delete(id: ArchiveId): Promise<void> {
    await this.#client.delete(id, this.#options.signal);
    this.#made.delete(id);
  }

  async #requireMissing(id: ArchiveId): Promise<void> {
    try {
      await this.#client.status(id, this.#options.signal);
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-found') return;
      throw error;
    }
    demand(false, `it has a file ${id} that should not be there`);
  }

  /** Without the signal: what was made is removed after Ctrl-C too. */
  async #cleanUp(): Promise<void> {
    await eachLimit(this.#made, this.#options.jobs, async (id) => {
      let attempt = 0;
      try {
        await retrying(() => this.#client.deleteAgain(id, (attempt += 1)), { budgetMs: 10_000 });
      } catch (error) {
        if (!(error instanceof PacificaError && error.code === 'not-found')) throw error;
      }
      this.#made.delete(id);
    });
  }

  /** ids that could not be removed */
  get left(): readonly ArchiveId[] {
    return [...this.#made];
  }
}

/** A rule of the site stands against a step. */
class Refused extends Error {}

function isRefusal(error: unknown): boolean {
  return error instanceof PacificaError && (error.code === 'forbidden' || error.code === 'exists');
}

function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new PacificaError('integrity', otherwise);
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Bytes that no compression and no repetition can hide a fault in, made while they are sent. */
class RandomBody {
  readonly #size: number;
  readonly #hash = createHash('sha256');

  constructor(size: number) {
    this.#size = size;
  }

  async *pieces(): AsyncGenerator<Buffer> {
    const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
    const zeros = Buffer.alloc(PIECE);
    for (let left = this.#size; left > 0; left -= PIECE) {
      const piece = cipher.update(zeros.subarray(0, Math.min(PIECE, left)));
      this.#hash.update(piece);
      yield piece;
    }
    return Promise.resolve();
  }

  /** hash of all of it, once, when it was sent */
  sum(): string {
    return this.#hash.digest('hex');
  }
}
