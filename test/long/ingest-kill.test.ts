import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { type BundleFile, makeBundle } from '../support/bundle.js';
import { jobEnd, jobState, type JobState } from '../support/main-job.js';
import { startServe } from '../support/serve.js';
import { filesBelow } from '../support/tree.js';

const rounds = process.env.PACIFICA_LONG === 'short' ? 8 : 50;
const FILES: BundleFile[] = Array.from({ length: 60 }, (_, index) => ({
  path: `d${index % 5}/f${index}`,
  content: Buffer.alloc(index * 1000, `content ${index}`),
}));

const home = mkdtempSync(join(tmpdir(), 'pacifica-ingest-kill-'));
const data = join(home, 'data');
afterAll(() => rmSync(home, { recursive: true, force: true }));

it(`kill -9 at ${rounds} random moments of an ingest: every job ends, whole or not at all, no id twice`, async () => {
  const { file, sums } = makeBundle(home, FILES);
  const tar = readFileSync(file);
  const promised = new Set<number>();
  for (let round = 0; round < rounds; round += 1) {
    const daemon = await startServe(data, { PACIFICA_JOBS_LOCK_LIFETIME: '2' });
    const post = async (): Promise<void> => {
      const answer = await fetch(`${daemon.urls.ingest}/upload`, { method: 'POST', body: tar });
      promised.add(((await answer.json()) as JobState).job_id);
    };
    const posts = Promise.allSettled([post(), post()]);
    // some while the bundles come in, some while they are worked on
    await sleep(Math.random() * (round % 2 === 0 ? 200 : 1500));
    await daemon.stop('SIGKILL');
    await posts;
  }
  expect(promised.size).toBeGreaterThan(0);

  const daemon = await startServe(data, { PACIFICA_JOBS_LOCK_LIFETIME: '2' });
  const ids = new Set<number>();
  let files = 0;
  const next = (await (await fetch(`${daemon.urls.catalog}/getid?range=1&mode=upload_job`)).json()) as {
    startIndex: number;
  };
  for (let job = 1; job < next.startIndex; job += 1) {
    if ((await jobState(daemon, job)).job_id !== job) {
      // killed between the taking of the id and the row: a gap, and nobody was told of the job
      expect(promised.has(job)).toBe(false);
      continue;
    }
    const { state, exception } = await jobEnd(daemon, job);
    // what was answered is promised; what was not may have been cut
    if (state === 'FAILED') expect(promised.has(job), exception).toBe(false);
    else files += await checkFiles(daemon.urls, job, sums, ids);
  }
  expect(ids.size).toBe(files);
  expect(files).toBeGreaterThanOrEqual(promised.size * FILES.length);
  await daemon.stop();
  const stored = await filesBelow(join(data, 'archive'));
  expect(stored.filter((path) => !path.startsWith('.'))).toHaveLength(files);
  expect(stored.filter((path) => path.includes('/drafts/'))).toEqual([]);
  expect(await filesBelow(join(data, 'ingest'))).toEqual([]);
});

/** Checks that the files of a job are there with the right bytes. @returns their number */
async function checkFiles(
  urls: Record<string, string>,
  job: number,
  sums: ReadonlyMap<string, string>,
  ids: Set<number>,
): Promise<number> {
  const answer = await fetch(`${urls.catalog}/files?transaction=${job}`);
  const files = (await answer.json()) as { _id: number; subdir: string; name: string }[];
  expect(files).toHaveLength(FILES.length);
  for (const { _id, subdir, name } of files) {
    ids.add(_id);
    const bytes = Buffer.from(await (await fetch(`${urls.archive}/${_id}`)).arrayBuffer());
    expect(createHash('sha1').update(bytes).digest('hex')).toBe(sums.get(`${subdir}/${name}`));
  }
  return files.length;
}
