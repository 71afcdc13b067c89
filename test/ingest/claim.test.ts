import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Claim, newRun } from '../../src/ingest/claim.js';
import type { IngestJob } from '../../src/storage/database/ingest-jobs.js';
import { type IngestSite, startIngest } from '../support/ingest.js';
import { silent } from '../support/log.js';
import { until } from '../support/until.js';

let site: IngestSite;
let claim: Claim;
beforeEach(async () => {
  site = await startIngest();
  const run = newRun();
  await site.store.insert({ id: 1, kind: 'upload', user: 'root' }, run);
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  claim = new Claim(site.store, 1, run.runId, silent);
});
afterEach(async () => {
  vi.useRealTimers();
  await claim.stop();
  await site.close();
});

const row = async (): Promise<IngestJob> => site.service.job(1);

it('writes the percent within a second, and never 100 before it is told so', async () => {
  claim.percent(41);
  claim.percent(42.5);
  vi.advanceTimersByTime(1000);
  await until('the percent', async () => (await row()).taskPercent === 42.5);
  claim.percent(100);
  vi.advanceTimersByTime(1000);
  const { taskPercent } = await until('the next percent', async () => (await row()).taskPercent > 50 && row());
  expect(taskPercent).toBeLessThan(100);
  await claim.task('open tar', 100);
  expect(await row()).toMatchObject({ task: 'open tar', taskPercent: 100 });
});

it('does not write the percent of one task on the next', async () => {
  claim.percent(42);
  await claim.task('open tar');
  vi.advanceTimersByTime(2000);
  await claim.stop();
  expect(await row()).toMatchObject({ task: 'open tar', taskPercent: 0 });
});

it('gives signs of life while nothing moves', async () => {
  const { beat, updated } = await row();
  await until('another millisecond', () => Date.now() > beat);
  vi.advanceTimersByTime(3000);
  const alive = await until('a sign of life', async () => (await row()).beat > beat && row());
  expect(alive.updated).toBe(updated);
});

it('notices that the job is of another run', async () => {
  expect(claim.signal.aborted).toBe(false);
  await site.store.force(1, 'receiving', {});
  vi.advanceTimersByTime(3000);
  await until('the signal', () => claim.signal.aborted);
  expect(claim.signal.reason).toMatchObject({ code: 'aborted' });
  await expect(claim.update({ task: 'x' })).rejects.toMatchObject({ code: 'aborted' });
});
