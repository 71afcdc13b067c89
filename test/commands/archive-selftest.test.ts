import { request } from 'node:http';
import { mkdir } from 'node:fs/promises';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CliOptions, type CliResult, pacifica } from '../support/cli.js';
import { OriginalArchive } from '../support/original-archive.js';
import { type Daemon, startDaemon } from '../support/serve.js';
import { startServer } from '../support/server.js';
import { until } from '../support/until.js';

let home: string;
let daemon: Daemon | undefined;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-selftest-'));
});
afterEach(async () => {
  await daemon?.stop();
  daemon = undefined;
  rmSync(home, { recursive: true, force: true });
});

async function start(env: NodeJS.ProcessEnv = {}): Promise<string> {
  daemon = await startDaemon(['archive', 'serve', '--data-dir', join(home, 'data'), '--port', '0'], env);
  return daemon.urls.archive ?? '';
}

function selftest(url: string, options: CliOptions = {}): Promise<CliResult> {
  const env = { ARCHIVE_URL: `${url}/`, LARGE_FILE_SIZE: '5000000', MANY_FILES_TEST_COUNT: '40', ...options.env };
  return pacifica(['archive', 'selftest', '--json'], { ...options, env });
}

/** what the archive holds */
const files = (): string[] => readdirSync(join(home, 'data/archive')).filter((name) => name !== '.pacifica');

const outcomes = (result: CliResult): Record<string, string> =>
  Object.fromEntries(
    (result.lines() as { step: string; outcome: string }[]).map(({ step, outcome }) => [step, outcome]),
  );

const ALL = {
  put: 'passed',
  status: 'passed',
  stage: 'passed',
  get: 'passed',
  'get a part': 'passed',
  'put again': 'passed',
  move: 'passed',
  'a file that is not there': 'passed',
  'large file, 5000000 bytes': 'passed',
  '40 small files': 'passed',
  delete: 'passed',
  'clean up': 'passed',
};

describe('archive selftest', () => {
  it('leaves nothing when nobody reads on, as with head, and does not end as if it had passed', async () => {
    const url = await start();
    const result = await selftest(url, {
      onStart: (child) => void child.stdout?.once('data', () => child.stdout?.destroy()),
    });
    expect(result).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('nobody reads what is printed') as string,
    });
    expect(files()).toEqual([]);
  });

  it("passes on ours, with the sizes of the originals' environment, and leaves nothing", async () => {
    const url = await start();
    await mkdir(join(home, 'data/archive'), { recursive: true });
    writeFileSync(join(home, 'data/archive/12345'), 'somebody else');
    const result = await selftest(url);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(outcomes(result)).toEqual(ALL);
    expect(files()).toEqual(['12345']);
  });

  it('takes what the site forbids for no failure', async () => {
    const result = await selftest(await start({ PACIFICA_ARCHIVEINTERFACE_WRITE_ONCE: 'on' }));
    expect(result.code).toBe(0);
    expect(outcomes(result)).toEqual({ ...ALL, 'put again': 'refused' });
    expect(files()).toEqual([]);
  });

  it('speaks to an original, whose files stay as they are', async () => {
    const original = new OriginalArchive();
    await original.start();
    original.files.set('1', Buffer.from('somebody else'));
    const result = await selftest(original.url);
    // the one that stands for it here moves nothing
    expect(outcomes(result)).toEqual({ ...ALL, move: 'failed' });
    expect(result.code).toBe(3);
    expect([...original.files.keys()]).toEqual(['1']);
    await original.close();
  });

  it('finds an archive that gives back other bytes, ends with 6, and cleans up', async () => {
    const url = await start();
    const lying = await startServer((req, res) => {
      const passed = request(`${url}${req.url ?? ''}`, { method: req.method, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.on('data', (piece: Buffer) => {
          if (req.method === 'GET') piece.writeUInt8(piece.readUInt8(0) ^ 1, 0);
          res.write(piece);
        });
        answer.on('end', () => res.end());
      });
      req.pipe(passed);
    });
    const result = await selftest(lying.url);
    expect(result.code).toBe(6);
    expect(outcomes(result)).toMatchObject({ put: 'passed', get: 'failed', 'clean up': 'passed' });
    expect(files()).toEqual([]);
    await lying.close();
  });

  it('cleans up after Ctrl-C', async () => {
    const url = await start();
    let shown = '';
    const result = await selftest(url, {
      env: { MANY_FILES_TEST_COUNT: '100000' },
      onStart: (child) =>
        child.stdout?.on('data', (piece: Buffer) => {
          const before = shown.includes('large file');
          shown += piece.toString();
          if (before || !shown.includes('large file')) return;
          // in the middle of the small files
          void until('some small files are there', () => files().length > 20).then(() => child.kill('SIGINT'));
        }),
    });
    expect(result.code).toBe(130);
    expect(outcomes(result)).toMatchObject({ 'clean up': 'passed' });
    expect(files()).toEqual([]);
  });
});
