import { afterEach, beforeEach, expect, it } from 'vitest';
import { groupOf } from '../../src/ingest/parts.js';
import type { Drafts } from '../../src/storage/backends/backend.js';
import { bundle, type IngestSite, startIngest } from '../support/ingest.js';
import { overriding } from '../support/overriding.js';
import { piecesOf } from '../support/streams.js';

/** more than are on their way to the disk at a time, and one that is not small */
const FILES = Object.fromEntries([
  ...Array.from({ length: 300 }, (_, index) => [`f${index}`, `file ${index}`]),
  ['large', 'x'.repeat(1_000_000)],
]) as Record<string, string>;

let site: IngestSite;
const calls: string[] = [];
beforeEach(async () => {
  calls.length = 0;
  site = await startIngest({
    wrap: ({ archive }) => ({ archive: overriding(archive, { drafts: noting(archive.drafts) }) }),
  });
});
afterEach(() => site.close());

/** Notes when a draft is finished, and in which phase its job is when the names of all are made durable. */
function noting(drafts: Drafts): Drafts {
  return overriding(drafts, {
    async create(group, name) {
      const draft = await drafts.create(group, name);
      return overriding(draft, {
        async finish(mtimeMs) {
          await draft.finish(mtimeMs);
          calls.push('finish');
        },
      });
    },
    async sync(group) {
      await drafts.sync(group);
      const job = await site.store.find(Number(group.replace(groupOf(0).slice(0, -1), '')));
      calls.push(`sync while ${String(job?.phase)}`);
    },
  });
}

it('the names of all files are made durable when the last one is written, before the job waits for its work', async () => {
  const { record } = await site.service.receive(piecesOf(bundle(FILES), 5000), { user: 'root' });
  expect(record.state).toBe('OK');
  expect(calls).toEqual([...Object.keys(FILES).map(() => 'finish'), 'sync while receiving']);
});
