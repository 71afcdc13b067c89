import { access, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, syncFolder } from '../lib/durable-write.js';
import { FileWriter } from '../lib/file-writer.js';
import { PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { formatSize } from '../lib/sizes.js';

/** The metadata documents of jobs under way: one file a job in one folder. */
export class MetadataSpool {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  path(jobId: number): string {
    return join(this.#folder, `${jobId}.json`);
  }

  /**
   * Writes a job's document, durably.
   * @param limit bytes that are taken
   * @throws PacificaError `too-large`, `no-space`; what `chunks` throws
   */
  async write(jobId: number, chunks: AsyncIterable<Uint8Array>, limit: number): Promise<void> {
    try {
      await makeFolder(this.#folder);
      const file = await open(this.path(jobId), 'w', 0o600);
      const writer = new FileWriter(file);
      try {
        for await (const chunk of chunks) {
          if (writer.size + chunk.length > limit) {
            throw new PacificaError(
              'too-large',
              `the metadata is larger than the ${formatSize(limit)} that are taken`,
              {
                hint: 'send it in several bundles, or raise [ingest] metadata_limit',
              },
            );
          }
          await writer.write(chunk);
        }
        await writer.flush();
        await file.sync();
      } finally {
        await writer.release();
        await file.close();
      }
      await syncFolder(this.#folder);
    } catch (error) {
      throw wrapSystemError(error, 'can not store the metadata');
    }
  }

  /** @returns whether there is a job's document */
  async has(jobId: number): Promise<boolean> {
    try {
      await access(this.path(jobId));
      return true;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false;
      throw wrapSystemError(error, 'can not read the metadata');
    }
  }

  /** Removes a job's document. Nothing to do when there is none. */
  async remove(jobId: number): Promise<void> {
    await rm(this.path(jobId), { force: true });
  }

  /** @returns the jobs that there are documents of */
  async jobs(): Promise<number[]> {
    try {
      const names = await readdir(this.#folder);
      return names.flatMap((name) => (/^[0-9]{1,16}\.json$/.test(name) ? [Number.parseInt(name, 10)] : []));
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}
