import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArchiveId } from '../../../../src/lib/archive-id.js';
import type { PosixBackend } from '../../../../src/storage/backends/posix/posix-backend.js';
import { piecesOf } from '../../../support/streams.js';

export const ID = parseArchiveId('12345');
export const OLD = 'the old file';
export const NEW = 'the new file, which is longer';

export interface Change {
  /** what is under the id before and after it; undefined when nothing is */
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** whether it takes a file named `source` from the given folder */
  readonly source: boolean;
  /** calls that change files which it makes at the least */
  readonly leastSteps: number;
  run(backend: PosixBackend, folder: string): Promise<unknown>;
}

const body = (): AsyncIterable<Uint8Array> => piecesOf(Buffer.from(NEW));

/** Every way to change what is under an id. */
export const changes = {
  'put to a free id': {
    before: undefined,
    after: NEW,
    source: false,
    leastSteps: 8,
    run: (backend) => backend.put(ID, body()),
  },
  'put over a file': {
    before: OLD,
    after: NEW,
    source: false,
    leastSteps: 6,
    run: (backend) => backend.put(ID, body()),
  },
  'exclusive put': {
    before: undefined,
    after: NEW,
    source: false,
    leastSteps: 9,
    run: (backend) => backend.put(ID, body(), { mode: 'exclusive' }),
  },
  adopt: {
    before: OLD,
    after: NEW,
    source: true,
    leastSteps: 4,
    run: (backend, folder) => backend.adopt(ID, join(folder, 'source')),
  },
  'exclusive adopt': {
    before: undefined,
    after: NEW,
    source: true,
    leastSteps: 6,
    run: (backend, folder) => backend.adopt(ID, join(folder, 'source'), { mode: 'exclusive' }),
  },
  'write and publish a draft': {
    before: undefined,
    after: NEW,
    source: false,
    leastSteps: 10,
    async run(backend) {
      const draft = await backend.drafts.create('job', '0');
      try {
        await draft.write(Buffer.from(NEW));
        await draft.finish(0);
      } catch (error) {
        await draft.discard();
        throw error;
      }
      await backend.drafts.publish('job', '0', ID);
    },
  },
  delete: { before: OLD, after: undefined, source: false, leastSteps: 3, run: (backend) => backend.delete(ID) },
} satisfies Record<string, Change>;

/**
 * Makes everything ready for a change.
 * @returns path of the id's file
 */
export async function prepare(backend: PosixBackend, folder: string, change: Change): Promise<string> {
  await mkdir(folder, { recursive: true });
  await backend.drafts.removeGroup('job');
  if (change.source) await writeFile(join(folder, 'source'), NEW, { mode: 0o640 });
  await rm(join(backend.root, '39'), { recursive: true, force: true });
  if (change.before !== undefined) await backend.put(ID, piecesOf(Buffer.from(change.before)));
  return join(backend.root, '39', '3039');
}
