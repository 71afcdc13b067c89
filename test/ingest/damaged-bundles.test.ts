import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StateRecord } from '../../src/ingest/state.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { hashReader, parseHashType } from '../../src/lib/digest.js';
import { bundle, type IngestSite, startIngest } from '../support/ingest.js';
import { piecesOf } from '../support/streams.js';

/** the long suite makes it more (test/long/damaged-bundles.test.ts) */
const ROUNDS = Number(process.env.PACIFICA_DAMAGES ?? 100);

let site: IngestSite;
beforeAll(async () => {
  site = await startIngest();
});
afterAll(() => site.close());

async function ingest(tar: Buffer): Promise<StateRecord> {
  const { record } = await site.service.receive(piecesOf(tar, 3000), { user: 'root', length: tar.length });
  await site.run(record.job_id);
  return site.state(record.job_id);
}

const FILES = { 'a/first': 'first', 'a/second': 's'.repeat(900), third: '' };

it.each(['first', 'last'] as const)(
  'cut at every block, metadata %s: FAILED with a reason, nothing visible, nothing left',
  async (metadata) => {
    const tar = bundle(FILES, { metadata, format: 'GNU_FORMAT' });
    let end = tar.length;
    while (tar[end - 1] === 0) end -= 1;
    // what comes after the two blocks of zeros is padding: without it nothing is missing
    const whole = Math.ceil(end / 512) * 512 + 1024;
    for (let length = 0; length < whole; length += 512) {
      const state = await ingest(tar.subarray(0, length));
      expect(state, `cut at ${length}`).toMatchObject({ state: 'FAILED', task: 'open tar', complete: true });
      expect(state.exception).toMatch(/cut short|empty/);
    }
    expect(await site.visible()).toEqual([]);
    expect(await site.leftovers()).toEqual([]);
  },
);

it('changed in random places: FAILED with a reason and nothing visible, or every byte is as the metadata says', async () => {
  const tar = bundle(FILES, { format: 'GNU_FORMAT' });
  let seed = 20;
  const random = (limit: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % limit;
  };
  let failed = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const broken = Buffer.from(tar);
    for (let count = random(3) + 1; count > 0; count -= 1) broken[random(tar.length)] = random(256);
    const before = await site.visible();
    const state = await ingest(broken);
    if (state.state === 'OK') {
      // a byte of the padding, of a time or an owner, or of a value in the metadata
      const files = await site.catalog.metadata.files({ transaction: state.job_id });
      for (const { _id, hashsum, hashtype, size } of files) {
        const file = await site.archive.open(parseArchiveId(_id));
        expect(file.reader.size).toBe(size);
        expect(await hashReader(file.reader, parseHashType(hashtype))).toBe(hashsum);
        await file.close();
      }
      expect((await site.visible()).length).toBe(before.length + files.length);
    } else {
      failed += 1;
      expect(state).toMatchObject({ state: 'FAILED', complete: true });
      expect(state.exception).not.toBe('');
      expect(state.exception).not.toContain('error of its own');
      expect(await site.visible()).toEqual(before);
      expect(await site.catalog.metadata.files({ transaction: state.job_id })).toEqual([]);
    }
  }
  expect(failed).toBeGreaterThan(ROUNDS / 5);
  await site.purgeBefore(Date.now() + 1000);
  expect(await site.leftovers()).toEqual([]);
});
