import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { cartEnd } from '../support/main-job.js';
import { run } from '../support/run.js';
import { startDaemon } from '../support/serve.js';
import { sha1 } from '../support/streams.js';

const MiB = 2 ** 20;
const count = process.env.PACIFICA_LONG === 'short' ? 20_000 : 100_000;

const home = mkdtempSync(join(tmpdir(), 'pacifica-cart-scale-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

it(`a cart of ${count} files is made and sent, in memory that does not grow with it`, async () => {
  mkdirSync(join(home, 'archive'));
  const fileids = Array.from({ length: count }, (_, n) => {
    const content = Buffer.from(`content ${n}`);
    writeFileSync(join(home, 'archive', String(n + 1)), content, { mode: 0o444 });
    return { id: String(n + 1), path: `d/${Math.floor(n / 1000)}/${n}`, hashtype: 'sha1', hashsum: sha1(content) };
  });
  const daemon = await startDaemon(['cart', 'serve', '--data-dir', home, '--port', '0'], {
    PACIFICA_LOG_LEVEL: 'warn',
  });
  const idle = daemon.peakMemory();
  const answer = await fetch(`${daemon.urls.cart}/large`, { method: 'POST', body: JSON.stringify({ fileids }) });
  expect(answer.status).toBe(201);
  const afterPost = daemon.peakMemory();
  expect(await cartEnd(daemon, 'large', 1_200_000)).toBe('ready');
  const afterReady = daemon.peakMemory();
  const listed = await run('bash', [
    '-c',
    `set -o pipefail; curl -sSf '${daemon.urls.cart}/large?filename=l.tar' | tar t | wc -l`,
  ]);
  expect(Number(listed)).toBe(count + Math.ceil(count / 1000) + 2);
  const peak = daemon.peakMemory();
  console.log(
    `most resident: ${[idle, afterPost, afterReady, peak].map((bytes) => `${Math.round(bytes / MiB)} MiB`).join(', ')}`,
  );
  expect(peak).toBeLessThan(250 * MiB);
  expect((await fetch(`${daemon.urls.cart}/large`, { method: 'DELETE' })).status).toBe(200);
  await daemon.stop();
});
