import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { pacifica } from '../support/cli.js';
import { bundle } from '../support/ingest.js';
import { type Daemon, startServe } from '../support/serve.js';
import { until } from '../support/until.js';

// The file system that the database is on is full: nothing can be put on record, and whoever asks is told so.

const canMount = process.platform === 'linux' && process.getuid?.() === 0;
if (!canMount) console.warn('no root: a full file system can not be tried here, its test is skipped');

let home: string;
let daemon: Daemon | undefined;

beforeEach(() => {
  if (!canMount) return;
  home = mkdtempSync(join(tmpdir(), 'pacifica-full-'));
  mkdirSync(join(home, 'data'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', join(home, 'data')]);
});

afterEach(async () => {
  if (!canMount) return;
  await daemon?.stop('SIGKILL');
  execFileSync('umount', ['-l', join(home, 'data')]);
  rmSync(home, { recursive: true });
});

async function post(url: string, content: string): Promise<{ status: number; record: Record<string, unknown> }> {
  const answer = await fetch(`${url}/upload`, { method: 'POST', body: new Uint8Array(bundle({ a: content })) });
  return { status: answer.status, record: (await answer.json()) as Record<string, unknown> };
}

test.runIf(canMount)(
  'no room for the database: one message with what can be done, and it goes on when there is room',
  async () => {
    const data = join(home, 'data');
    daemon = await startServe(data);
    const url = daemon.urls.ingest ?? '';
    const ended = async (job: unknown): Promise<unknown> => {
      const answer = await fetch(`${url}/get_state?job_id=${String(job)}`);
      return ((await answer.json()) as { complete: boolean }).complete;
    };
    const { record } = await post(url, 'before');
    await until('the job to end', () => ended(record.job_id));

    const { bavail, bsize } = statfsSync(data);
    writeFileSync(join(data, 'filling'), Buffer.alloc(bavail * bsize));

    // the log of the database may have a little room left in its file
    const refused = await until('a bundle to be refused', async () => {
      const answer = await post(url, 'meanwhile');
      return answer.status === 200 ? undefined : answer;
    });
    expect([503, 507]).toContain(refused.status);
    expect(JSON.stringify(refused.record)).toMatch(/database or disk is full|no space left/);
    const command = ['ingest', 'job', '--job-id', String(record.job_id), '--state', 'OK', '--data-dir', data];
    const told = await until('a command to be refused', async () => {
      const result = await pacifica(command);
      return result.code === 0 ? undefined : result;
    });
    expect(told).toMatchObject({
      code: 1,
      stderr:
        'Error: the database has no room for more: SQLITE_FULL: database or disk is full\n' +
        ' Hint: free space on the file system of the database\n',
    });

    rmSync(join(data, 'filling'));
    const after = await until('a bundle to be taken', async () => {
      const answer = await post(url, 'after');
      return answer.status === 200 ? answer : undefined;
    });
    await until('the job to end', () => ended(after.record.job_id));
    expect((await pacifica(command)).code).toBe(0);
  },
  60_000,
);
