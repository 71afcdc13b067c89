import { type ChildProcess, execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliResult, pacifica } from '../support/cli.js';
import { jobEnd, type JobState } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';
import { startServer } from '../support/server.js';
import { filesBelow } from '../support/tree.js';
import { until } from '../support/until.js';

const home = mkdtempSync(join(tmpdir(), 'pacifica-upload-'));
const facts = ['-p', '1234a', '-i', '54', '-s', '10'];
let daemon: Daemon;
/** an upload to where nobody listens: it is tried for half a minute, beside all the others */
let refused: Promise<CliResult>;
beforeAll(async () => {
  daemon = await startServe(join(home, 'data'));
  write('away/f', 'f');
  refused = upload(['away', ...facts, '--save', 'away.tar'], 'http://127.0.0.1:9');
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

function upload(args: readonly string[], url = daemon.urls.ingest): Promise<CliResult> {
  return pacifica(['ingest', 'upload', ...args], { cwd: home, env: { PACIFICA_INGEST_URL: url } });
}

async function done(args: readonly string[]): Promise<CliResult> {
  const result = await upload(args);
  expect(result.code, result.stderr).toBe(0);
  return result;
}

function write(path: string, content: string): void {
  mkdirSync(join(home, path, '..'), { recursive: true });
  writeFileSync(join(home, path), content);
}

async function filesOf(job: string): Promise<string[]> {
  const answer = await fetch(`${daemon.urls.catalog}/files?transaction=${job.trim()}`);
  const files = (await answer.json()) as { subdir: string; name: string }[];
  return files.map(({ subdir, name }) => `${subdir}/${name}`).sort();
}

async function archived(): Promise<number> {
  return (await filesBelow(join(home, 'data/archive'))).filter((path) => !path.startsWith('.')).length;
}

describe('a second run', () => {
  it('on the same files sends nothing, and gives the same job; --again begins a new one', async () => {
    write('twice/f', 'f');
    const first = await done(['twice', ...facts, '--wait']);
    const second = await done(['twice', ...facts, '--wait']);
    expect(second.text()).toBe(first.text());
    expect(second.stderr).toBe(
      `Warning: job ${first.text().trim()} has these files already, nothing was sent; --again begins a new job\n`,
    );
    expect((await done(['twice', ...facts, '--again', '--wait'])).text()).not.toBe(first.text());
    utimesSync(join(home, 'twice/f'), 1000, 1000);
    expect((await done(['twice', ...facts, '--wait'])).text()).not.toBe(first.text());
  });

  it('after the answer got lost does not ingest twice', async () => {
    write('lost/f', 'f');
    // a way to the service on which the first answer to an upload gets lost
    let lose = true;
    const server = await startServer((req, res) => {
      void (async () => {
        const body = req.method === 'POST' ? { body: req, duplex: 'half' } : {};
        const headers = { 'idempotency-key': String(req.headers['idempotency-key'] ?? '') };
        const answer = await fetch(`${daemon.urls.ingest}${req.url ?? ''}`, {
          method: req.method,
          ...(req.method === 'POST' && { headers }),
          ...(body as object),
        });
        const text = await answer.text();
        if (lose && req.method === 'POST') return res.destroy();
        res.setHeader('idempotency-replayed', answer.headers.get('idempotency-replayed') ?? 'false');
        return res.end(text);
      })();
    });
    const before = await archived();
    const cut = await upload(['lost', ...facts, '--wait'], server.url);
    expect(cut.code).toBe(5);
    expect(cut.stderr).toMatch(/after the whole bundle was sent\n Hint: send it again/);
    lose = false;
    const again = await upload(['lost', ...facts, '--wait'], server.url);
    expect(again.code, again.stderr).toBe(0);
    expect(await filesOf(again.text())).toEqual(['lost/f']);
    expect(await archived()).toBe(before + 1);
    await server.close();
  });

  it('makes up for one that was cut off in the middle', async () => {
    mkdirSync(join(home, 'cut'));
    execFileSync('truncate', ['-s', '600M', join(home, 'cut/big')]);
    write('cut/small', 's');
    const before = await archived();
    const env = { PACIFICA_INGEST_URL: daemon.urls.ingest };
    const killed = await pacifica(['ingest', 'upload', 'cut', ...facts], {
      cwd: home,
      env,
      onStart: (child) => {
        const some = async (): Promise<boolean> =>
          (await filesBelow(join(home, 'data/archive'))).some((path) => path.startsWith('.'));
        void until('some of it to arrive', some).then(() => child.kill('SIGKILL'));
      },
    });
    expect(killed.code).toBeNull();
    const again = await done(['cut', ...facts, '--wait']);
    expect(await filesOf(again.text())).toEqual(['cut/big', 'cut/small']);
    expect(await archived()).toBe(before + 2);
  }, 120_000);

  it('while the first one still comes in waits for what becomes of it', async () => {
    mkdirSync(join(home, 'slow'));
    execFileSync('truncate', ['-s', '600M', join(home, 'slow/big')]);
    const env = { PACIFICA_INGEST_URL: daemon.urls.ingest };
    const drafts = async (): Promise<string[]> =>
      (await filesBelow(join(home, 'data/archive'))).filter((path) => path.startsWith('.'));
    const posts = (): number => daemon.log().split('"method":"POST","url":"/upload"').length - 1;
    let first: ChildProcess | undefined;
    const stopped = pacifica(['ingest', 'upload', 'slow', ...facts], {
      cwd: home,
      env,
      onStart: (child) => (first = child),
    });
    await until('some of it to arrive', async () => (await drafts()).length > 0);
    // as a machine that sleeps
    first?.kill('SIGSTOP');
    const before = posts();
    const second = upload(['slow', ...facts, '--wait']);
    await until('the answer to the second', () => posts() > before);
    first?.kill('SIGKILL');
    await stopped;
    const { code, stdout, stderr } = await second;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(await filesOf(stdout.toString())).toEqual(['slow/big']);
  });

  it('on a bundle that failed and has its data says what can be done', async () => {
    write('bad/f', 'f');
    const entry = {
      destinationTable: 'Files',
      name: 'f',
      subdir: 'bad',
      size: 1,
      mimetype: 'text/plain',
      hashtype: 'sha1',
    };
    const wrong = [...(JSON.parse((await done(['bad', ...facts, '-n'])).text()) as object[]).slice(0, 3)];
    write('bad.json', JSON.stringify([...wrong, { ...entry, hashsum: '0'.repeat(40) }]));
    const first = await upload(['bad', '--metadata', 'bad.json', '--wait']);
    expect(first.code).toBe(6);
    const job = first.text().trim();
    const second = await upload(['bad', '--metadata', 'bad.json']);
    expect(second.code).toBe(6);
    expect(second.stderr).toContain(`"pacifica ingest retry ${job}"`);
    expect((await jobEnd(daemon, Number(job))).state).toBe('FAILED');
  });
});

describe('what is sent', () => {
  it('is told by --dry-run, with the hashes, and nothing is sent', async () => {
    write('dry/a', 'a');
    write('dry/sub/empty', '');
    const { code, stdout } = await upload(['dry', ...facts, '--dry-run'], 'http://127.0.0.1:9');
    // nobody is there: whatever asked for the service would fail
    expect(code).toBe(0);
    const entries = JSON.parse(stdout.toString()) as Record<string, unknown>[];
    expect(entries.slice(0, 3).map(({ value }) => value)).toEqual([10, '1234a', 54]);
    const sum = (file: string): string =>
      execFileSync('sha1sum', [join(home, file)], { encoding: 'utf8' }).slice(0, 40);
    expect(entries.slice(3)).toMatchObject([
      { destinationTable: 'Files', name: 'a', subdir: 'data/dry/', size: 1, hashsum: sum('dry/a') },
      { destinationTable: 'Files', name: 'empty', subdir: 'data/dry/sub/', size: 0, hashsum: sum('dry/sub/empty') },
    ]);
    expect((await upload(['dry', ...facts, '-n', '--wait'])).code).toBe(2);
    expect((await upload(['dry', '-n'])).code).toBe(2);
  });

  it('can be what --dry-run told, changed by hand', async () => {
    write('ready/a', 'a');
    const told = JSON.parse((await done(['ready', ...facts, '-n'])).text()) as object[];
    const more = { destinationTable: 'TransactionKeyValue', key: 'Temp C', value: '27' };
    write('ready.json', JSON.stringify([...told, more]));
    const result = await done(['ready', '--metadata', 'ready.json', '--wait']);
    const answer = await fetch(`${daemon.urls.catalog}/transactioninfo/by_id/${result.text().trim()}`);
    expect(await answer.json()).toMatchObject({ submitter: 10, project: '1234a', key_values: { 'Temp C': '27' } });
    expect(await filesOf(result.text())).toEqual(['ready/a']);
    const stdin = await pacifica(['ingest', 'upload', 'ready', '--metadata', '-', '--wait'], {
      cwd: home,
      input: JSON.stringify(told.slice(0, 3)),
      env: { PACIFICA_INGEST_URL: daemon.urls.ingest },
    });
    expect(stdin.code, stdin.stderr).toBe(0);
    const others = await pacifica(['ingest', 'upload', 'ready', '--metadata', '-'], {
      cwd: home,
      input: JSON.stringify([{ destinationTable: 'Files', name: 'other', subdir: 'data' }]),
    });
    expect(others.stderr).toMatch(/^Error: standard input does not name ready\//);
    expect((await upload(['ready', '--metadata', 'ready.json', ...facts])).code).toBe(2);
    write('no-list.json', '{}');
    expect((await upload(['ready', '--metadata', 'no-list.json'])).code).toBe(2);
  });

  it('is kept by --save, as a tar that can be sent again', async () => {
    write('kept/a', 'a');
    await done(['kept', ...facts, '--save', 'kept.tar', '--wait']);
    expect(execFileSync('tar', ['tf', 'kept.tar'], { cwd: home, encoding: 'utf8' })).toBe(
      'data/kept/a\nmetadata.txt\n',
    );
    const first = await done(['kept.tar', '--wait']);
    expect(await filesOf(first.text())).toEqual(['kept/a']);
    expect((await done(['kept.tar'])).text()).toBe(first.text());
    expect((await upload(['kept', ...facts, '--save', 'none/x.tar'])).code).toBe(3);
  });

  it('is not kept by --save when a file changes meanwhile, and nothing is left of it', async () => {
    mkdirSync(join(home, 'changing/out'), { recursive: true });
    execFileSync('truncate', ['-s', '600M', join(home, 'changing/big')]);
    const out = join(home, 'changing/out');
    const saving = pacifica(['ingest', 'upload', 'changing/big', ...facts, '--save', join(out, 'x.tar')], {
      cwd: home,
      env: { PACIFICA_INGEST_URL: daemon.urls.ingest },
    });
    await until('some of it to be saved', () => readdirSync(out).length > 0);
    appendFileSync(join(home, 'changing/big'), 'more');
    const { code, stderr } = await saving;
    expect(code).toBe(1);
    expect(stderr).toContain('changing/big changed');
    expect(readdirSync(out)).toEqual([]);
  });

  it('leaves out patterns, and follows links', async () => {
    for (const path of ['pick/a.tmp', 'pick/b', 'pick/.git/c', 'elsewhere/d']) write(path, path);
    symlinkSync('../elsewhere', join(home, 'pick/link'));
    const result = await done([
      'pick',
      ...facts,
      '-x',
      '*.tmp',
      '--exclude',
      '.git',
      '--follow-links',
      '--wait',
      '--json',
    ]);
    const [{ job_id: job } = { job_id: 0 }] = result.lines() as JobState[];
    expect(await filesOf(String(job))).toEqual(['pick/b', 'pick/link/d']);
    expect(result.stderr).toBe('');
  });

  it('is kept by --save also when the service can not be reached', async () => {
    expect((await refused).code).toBe(5);
    expect(readFileSync(join(home, 'away.tar')).length).toBeGreaterThan(1024);
  });
});
