import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { makeBundle } from '../support/bundle.js';
import { ingest } from '../support/main-job.js';
import { startServe } from '../support/serve.js';

const MiB = 2 ** 20;

const home = mkdtempSync(join(tmpdir(), 'pacifica-small-files-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

// on two processors: with more of them threads beside take memory of their own
it('stays under 150 MiB while 20,000 files of 1 KiB go in', async () => {
  const files = Array.from({ length: 20_000 }, (_, n) => ({
    path: `d${n % 100}/f${n}`,
    content: `${n} `.padEnd(1024),
  }));
  const { file } = makeBundle(home, files);
  const daemon = await startServe(join(home, 'data'), { PACIFICA_LOG_LEVEL: 'warn' });
  try {
    expect(await ingest(daemon, file)).toMatchObject({ state: 'OK', complete: true });
    console.log(`most resident: ${Math.round(daemon.peakMemory() / MiB)} MiB`);
    expect(daemon.peakMemory()).toBeLessThan(150 * MiB);
  } finally {
    await daemon.stop('SIGKILL');
  }
});
