import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ArchiveClient } from '../../src/client/archive-client.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { eachLimit } from '../../src/lib/each-limit.js';
import { type Daemon, startDaemon } from '../support/serve.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { emptyFolders } from '../support/tree.js';
import { until } from '../support/until.js';

/** kills, each at a random moment of 200 puts: every id gets two */
const ROUNDS = Number(process.env.PACIFICA_TEST_KILLS ?? 3);
const IDS = Array.from({ length: 100 }, (_, index) => String(index * 1000));
const AT_A_TIME = 8;

let data: string;
let daemon: Daemon | undefined;

beforeEach(async () => {
  data = await temporaryFolder();
});

afterEach(async () => {
  await daemon?.stop('SIGKILL');
  await removeFolder(data);
});

async function serve(): Promise<string> {
  const env = { PACIFICA_POSIX_USE_ID2FILENAME: 'on' };
  daemon = await startDaemon(['archive', 'serve', '--data-dir', data, '-p', '0'], env);
  return daemon.urls.archive ?? '';
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64');
}

test('kill -9 at a random moment during 200 puts: what was promised is whole, the rest is old or absent', async () => {
  /** per id: hash of the bytes that were promised, and of all that were sent after them without an answer */
  const promised = new Map<string, string>();
  const sent = new Map<string, string[]>();
  for (let round = 1; round <= ROUNDS; round += 1) {
    const client = new ArchiveClient(await serve());
    const killAfter = Math.floor(Math.random() * IDS.length * 2);
    let answers = 0;
    await eachLimit([...IDS, ...IDS], AT_A_TIME, async (id) => {
      const bytes = randomBytes(Math.random() < 0.5 ? 4096 : 1 + Math.floor(Math.random() * 600_000));
      sent.set(id, [...(sent.get(id) ?? []), hash(bytes)]);
      try {
        await client.put(parseArchiveId(id), bytes, { size: bytes.length });
      } catch {
        return;
      }
      // only one put of an id runs at a time
      promised.set(id, hash(bytes));
      sent.delete(id);
      answers += 1;
      if (answers === killAfter) await daemon?.stop('SIGKILL');
    });
    await daemon?.stop('SIGKILL');
    await client.close();

    const url = await serve();
    const root = join(data, 'archive');
    const swept = async (): Promise<boolean> => (await readdir(join(root, '.pacifica', 'tmp'))).length === 0;
    await until('the litter of the killed process is swept', swept);
    const context = `round ${round}, killed after ${killAfter} answers`;
    for (const id of IDS) {
      const head = await fetch(`${url}/${id}`, { method: 'HEAD' });
      if (head.status === 404) {
        expect([context, id, promised.get(id)]).toEqual([context, id, undefined]);
        continue;
      }
      const found = hash(await readFile(head.headers.get('X-Pacifica-File') ?? ''));
      expect([context, id, [promised.get(id), ...(sent.get(id) ?? [])].includes(found)]).toEqual([context, id, true]);
      // and what is on record of it is true, whatever was interrupted
      expect([context, id, head.headers.get('Repr-Digest')]).toEqual([context, id, `sha-256=:${found}:`]);
      promised.set(id, found);
      sent.delete(id);
    }
    expect([context, await emptyFolders(root, ['.pacifica'])]).toEqual([context, []]);
    await daemon?.stop();
  }
});
