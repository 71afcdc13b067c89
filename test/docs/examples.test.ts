import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Sequelize } from 'sequelize';
import sqlite3 from 'sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeBundle } from '../support/bundle.js';
import { cliCommand, cliEnv } from '../support/cli.js';
import { cartEnd, jobEnd, postBundle } from '../support/main-job.js';
import { type Daemon, startDaemon, startServe } from '../support/serve.js';
import { until } from '../support/until.js';
import { blocks, commands, helpExamples, page, pages } from '../support/shown.js';

// Everything that people are shown to type is typed here, as it stands there, against daemons that run: each example of
// --help and each shell block of the docs. One that is added is run too, and has to end with 0.

/** Pages whose blocks have a test of their own. */
const ELSEWHERE = ['README.md', 'docs/ingest.md', 'docs/recipes.md'];
const docBlocks = pages
  .filter(({ name }) => !ELSEWHERE.includes(name))
  .flatMap((one) => blocks(one, 'sh').map((block) => block.trimEnd()));

/** What needs jobs that wait: run before anybody works on them, in this order. */
const ON_WAITING_JOBS = [
  /^pacifica ingest job/,
  /^pacifica jobs show/,
  /^pacifica jobs retry/,
  /^pacifica jobs cancel/,
  /jobs cancel/,
];
/** What needs a failed job whose worker has cleaned up. */
const RETRY = 'pacifica ingest retry 1234';
/** Daemons: they run until they are stopped. */
const DAEMON = /^pacifica (\w+ )?(serve|worker)\b/;
const onWaitingJobs = ON_WAITING_JOBS.flatMap((pattern, index) =>
  [...helpExamples, ...docBlocks].filter(
    (line) => pattern.test(line) && !ON_WAITING_JOBS.slice(0, index).some((earlier) => earlier.test(line)),
  ),
);
const daemonLines = helpExamples.filter((line) => DAEMON.test(line));
const others = [...helpExamples, ...docBlocks].filter(
  (line) => !DAEMON.test(line) && !onWaitingJobs.includes(line) && line !== RETRY,
);
/** Files that the examples of archive put, move and delete, and those of carts, which run at the same time. */
const IDS = ['12345', '12346'];
const CART_IDS = ['22345', '22346'];
const SHA1_OF_FOO = 'f1d2d2f924e986ac86fdf7b36c94bcdf32beec15';

let home: string;
let daemon: Daemon;
let worker: Daemon | undefined;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-examples-'));
  for (const folder of ['bin', 'work', 'srv/incoming', 'srv/archive', 'etc'])
    mkdirSync(join(home, folder), { recursive: true });
  program('pacifica', `exec ${cliCommand.map((word) => `'${word}'`).join(' ')} "$@"`);
  writeFileSync(join(home, 'rules.json'), blocks(page('docs/policy.md'), 'json')[0] ?? '');
  env = cliEnv({
    PATH: `${join(home, 'bin')}:${process.env.PATH}`,
    PACIFICA_DATA_DIR: join(home, 'data'),
    PACIFICA_POLICY_RULES: join(home, 'rules.json'),
    PACIFICA_ARCHIVEINTERFACE_MOVE_ROOTS: join(home, 'srv/incoming'),
    INGEST_DEFAULT_USER: 'operator',
    // a selftest of 1 GiB is for archives, not for examples
    LARGE_FILE_SIZE: '1M',
    MANY_FILES_TEST_COUNT: '10',
  });
  daemon = await startServe(join(home, 'data'), env, ['--no-worker']);
  for (const [name, url] of Object.entries(daemon.urls))
    if (name !== 'admin') env[`PACIFICA_${name.toUpperCase()}_URL`] = url;
  await fillWork(join(home, 'work'));
  await prepareJobs();
});
afterAll(async () => {
  await Promise.all([worker?.stop(), daemon.stop()]);
  rmSync(home, { recursive: true, force: true });
});

function program(name: string, script: string): void {
  writeFileSync(join(home, 'bin', name), script.startsWith('#!') ? script : `#!/bin/sh\n${script}\n`);
  chmodSync(join(home, 'bin', name), 0o755);
}

/** The files that examples name. */
async function fillWork(work: string): Promise<void> {
  mkdirSync(join(work, 'run-7'));
  const fileids = CART_IDS.map((id) => ({ id, path: `${id}.txt`, hashtype: 'sha1', hashsum: SHA1_OF_FOO }));
  const files: Record<string, string> = {
    'foo.txt': 'foo\n',
    'notes.txt': 'notes\n',
    'run-7/a.raw': 'a',
    'run-7/b.raw': 'b',
    'run-7/junk.tmp': 'junk',
    'ids.txt': '12345\n12346\n',
    'list.json': JSON.stringify(fileids),
    'site.ini': '[serve]\nhost = 127.0.0.1\n',
    'cherrypy.conf': "[global]\nserver.socket_host: '127.0.0.1'\nserver.socket_port: 8180\n",
    'metadata.json': JSON.stringify([
      ...(JSON.parse(readMetadata()) as object[]),
      {
        ...{ destinationTable: 'Files', name: 'moved.txt', subdir: 'data', size: 4, mimetype: 'text/plain' },
        ...{ hashtype: 'sha1', hashsum: SHA1_OF_FOO, ctime: '2026-01-01T00:00:00', mtime: '2026-01-01T00:00:00' },
        source: join(home, 'srv/incoming/moved.txt'),
      },
    ]),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(work, name), content);
  // what an original keeps
  const original = new Sequelize({
    dialect: 'sqlite',
    dialectModule: sqlite3,
    storage: join(work, 'db.sqlite3'),
    logging: false,
  });
  for (const table of [
    'cart (id INTEGER PRIMARY KEY, cart_uid, bundle_path, bundle, creation_date, updated_date, deleted_date, status, error)',
    'file (id INTEGER PRIMARY KEY, cart_id, file_name, bundle_path, hash_type, hash_value, status, error)',
    'ingeststate (id INTEGER PRIMARY KEY, state, task, task_percent, exception, created, updated, complete)',
    'uniqueindex (id VARCHAR(255) PRIMARY KEY, "index" BIGINT)',
  ])
    await original.query(`CREATE TABLE ${table}`);
  await original.query(`INSERT INTO uniqueindex VALUES ('file', 2)`);
  await original.close();
}

function readMetadata(): string {
  const facts = { submitter: 10, project: '1234a', instrument: 54 };
  return JSON.stringify(
    Object.entries(facts).map(([name, value]) => ({ destinationTable: `Transactions.${name}`, value })),
  );
}

/** Jobs 12 and 1234, and cart 7, wait for somebody who works on them. */
async function prepareJobs(): Promise<void> {
  const skip = (count: number) => fetch(`${daemon.urls.catalog}/getid?range=${count}&mode=upload_job`);
  const bundle = (name: string): string =>
    makeBundle(home, [
      { path: `${name}.txt`, content: 'foo\n' },
      { path: `${name}.raw`, content: 'raw\n' },
    ]).file;
  await skip(11);
  expect(postBundle(daemon, bundle('one')).job_id).toBe(12);
  await skip(1221);
  expect(postBundle(daemon, bundle('other')).job_id).toBe(1234);
  await Promise.all([...IDS, ...CART_IDS].map(putFile));
  for (let number = 1; number <= 8; number += 1) await putCart(`run-${number}`);
}

const archived = async (id: string, method: string, body?: string): Promise<number> =>
  (await fetch(`${daemon.urls.archive}/${id}`, { method, body })).status;

async function putFile(id: string): Promise<void> {
  if ((await archived(id, 'HEAD')) === 404) await archived(id, 'PUT', 'foo\n');
}

async function putCart(uid: string): Promise<void> {
  const body = readFileSync(join(home, 'work/list.json'));
  await fetch(`${daemon.urls.cart}/${uid}`, { method: 'POST', body: `{"fileids":${body.toString()}}` });
}

interface Ran {
  line: string;
  code: number | null;
  stdout: string;
  stderr: string;
}

let folders = 0;

/** Runs lines in a folder of their own that has what the examples name; what stands for a site's own is replaced. */
async function run(
  line: string,
  { shell = ['bash', '-euo', 'pipefail', '-c'], more = {}, stop }: RunOptions = {},
): Promise<Ran> {
  folders += 1;
  const cwd = join(home, `run-${folders}`);
  cpSync(join(home, 'work'), cwd, { recursive: true });
  const script = line
    .replaceAll('/srv/', `${home}/srv/`)
    .replaceAll('/etc/pacifica.ini', `${home}/etc/pacifica.ini`)
    .replace(/postgresql:\/\/\S+\/uniqueid/g, 'sqliteext:///db.sqlite3')
    .replace('http://archive:8080 --large-file 10G', `${daemon.urls.archive} --large-file 1M`)
    .replaceAll('http://127.0.0.1:8066', daemon.urls.ingest ?? '')
    .replaceAll('http://127.0.0.1:8080', daemon.urls.archive ?? '')
    .replaceAll('http://127.0.0.1:8121', daemon.urls.catalog ?? '');
  const [program = '', ...words] = shell;
  // doctor wants more than a login shell has
  const child = spawn(program, [...words, `ulimit -n 4096 2>/dev/null || :; ${script}`], {
    cwd,
    env: { ...env, ...more },
    // bash takes a socket for a login over the network
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    if (stop?.(stdout) === true) child.kill('SIGTERM');
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { line, code, stdout, stderr };
}

interface RunOptions {
  shell?: string[];
  more?: NodeJS.ProcessEnv;
  /** whether it has said what it was to say, and is to be stopped */
  stop?: (stdout: string) => boolean;
}

/** What an example finds. */
async function prepare(line: string): Promise<void> {
  if (line.includes('archive move')) {
    await archived('12345', 'DELETE');
    writeFileSync(join(home, 'srv/incoming/foo.txt'), 'foo\n');
  } else if (line.includes('12345')) await Promise.all(IDS.map(putFile));
  // a job that was cancelled waits again
  if (line.includes('\n') && line.includes('jobs cancel')) await run('pacifica jobs retry cart 7');
  if (line.includes('ingest move')) writeFileSync(join(home, 'srv/incoming/moved.txt'), 'foo\n');
  if (/cart .*\brun-[78]\b/.test(line)) {
    await Promise.all(['run-7', 'run-8'].map(putCart));
    await Promise.all(['run-7', 'run-8'].map((uid) => cartEnd(daemon, uid)));
  }
}

/** @returns those that did not end well */
async function failures(lines: readonly string[]): Promise<Ran[]> {
  const failed: Ran[] = [];
  for (const line of lines) {
    await prepare(line);
    const ran = await run(line);
    if (ran.code !== 0 || ran.stderr.includes('Error')) failed.push(ran);
  }
  return failed;
}

describe('what is shown', () => {
  it('is something', () => {
    expect(helpExamples.length).toBeGreaterThanOrEqual(Object.keys(commands).length);
    for (const [id, { examples = [] }] of Object.entries(commands)) expect(examples, id).not.toEqual([]);
    expect(docBlocks.length).toBeGreaterThan(0);
  });

  it('inline in the docs is a command, and its flags are there', () => {
    for (const { name, text } of pages) {
      for (const [, line = ''] of text.matchAll(/`(?:PACIFICA_\w+=\S+ )?pacifica ([a-z][^`|]*)`/g)) {
        const words = line.split(' ');
        const id = [words.slice(0, 2).join(':'), words[0] ?? ''].find((one) => commands[one] !== undefined);
        if (id === undefined && words[0] === 'autocomplete') continue;
        expect(id, `${name}: pacifica ${line}`).toBeDefined();
        const { flags = {} } = commands[id ?? ''] ?? {};
        const known = new Set(Object.entries(flags).flatMap(([flag, { aliases = [] }]) => [flag, ...aliases]));
        for (const [, flag = ''] of line.matchAll(/ --([a-z-]+)/g))
          expect([...known], `${name}: ${line}`).toContain(flag);
      }
    }
  });
});

// each is a process, or several: some dozens in a test
describe('each example of --help and each block of the docs works as it stands there', { timeout: 300_000 }, () => {
  it('those on jobs that wait or failed', async () => {
    expect(onWaitingJobs.length).toBeGreaterThan(5);
    expect(await failures(onWaitingJobs)).toEqual([]);
  });

  it('a retry, once a worker has taken back what the failed job had', async () => {
    worker = await startDaemon(['worker'], env);
    expect(helpExamples).toContain(RETRY);
    await until('the retry', async () => (await run(RETRY)).code === 0);
    expect((await jobEnd(daemon, 1234)).state).toBe('OK');
  });

  it.concurrent('the daemons', async () => {
    const names = ['ARCHIVE', 'CART', 'INGEST', 'PROXY', 'CATALOG', 'ADMIN'];
    const more: NodeJS.ProcessEnv = { PACIFICA_DATA_DIR: join(home, 'other'), PACIFICA_LOG_LEVEL: 'error' };
    for (const name of names) more[`PACIFICA_SERVE_${name}_PORT`] = '0';
    const stop = (stdout: string): boolean => /Ctrl-C|"ready"/.test(stdout);
    const failed: Ran[] = [];
    for (const line of daemonLines) {
      const ran = await run(`exec ${line}`, { more, stop });
      if (ran.code !== 0 || ran.stderr !== '') failed.push(ran);
    }
    expect(failed).toEqual([]);
  });

  it.concurrent.each([...new Set(others.map(topicOf))])('%s', async (topic) => {
    expect(await failures(others.filter((line) => topicOf(line) === topic))).toEqual([]);
  });
});

/** What has to be run one after the other. */
function topicOf(line: string): string {
  return /pacifica (archive|cart)\b/.exec(line)?.[1] ?? 'the others';
}

describe('recipes', { timeout: 300_000 }, () => {
  const recipes = page('docs/recipes.md');
  const scripts = blocks(recipes, 'sh');
  const crontabs = blocks(recipes, 'crontab');

  /** Runs each line of a crontab as cron does, with its variables. */
  async function cron(crontab: string, more: NodeJS.ProcessEnv = {}): Promise<Ran[]> {
    const variables: NodeJS.ProcessEnv = {};
    const ran: Ran[] = [];
    for (const line of crontab.split('\n')) {
      const [, name, value = ''] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
      const [, command] = /^(?:[\d*/-]+ ){5}[a-z]+ (.*)$/.exec(line) ?? [];
      if (name !== undefined) variables[name] = value;
      else if (command !== undefined) {
        // cron takes % for a line break
        expect(command).not.toContain('%');
        ran.push(await run(command, { shell: ['sh', '-c'], more: { ...cronVariables(variables), ...more } }));
      } else expect(line).toMatch(/^(#.*)?$/);
    }
    return ran;
  }

  /** The site's own places are those of the test. */
  function cronVariables(variables: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
    const ours = Object.entries(variables).map(([name, value]) => [
      name,
      env[name] ?? value?.replace('/etc/', `${home}/etc/`),
    ]);
    return Object.fromEntries(ours) as NodeJS.ProcessEnv;
  }

  const script = (name: string): string => scripts.find((text) => text.startsWith(`#!/bin/sh\n# ${name} `)) ?? '';

  beforeAll(() => {
    writeFileSync(join(home, 'etc/pacifica.ini'), '[cartd]\nlru_purge = on\n');
    mkdirSync(join(home, 'srv/lists'), { recursive: true });
    writeFileSync(join(home, 'srv/lists/ids.txt'), '12345\n12346\n');
    program('bulk-ingest', blocks(page('docs/ingest.md'), 'sh')[0] ?? '');
    program('verify-archive', script('verify-archive'));
    program('stage-overnight', script('stage-overnight'));
    program('mail', `printf '%s\\n' "$@" > '${home}/mail'; cat >> '${home}/mail'`);
  });

  it('are five scripts of the shell and four crontabs', () => {
    expect([scripts.length, crontabs.length]).toEqual([5, 4]);
  });

  it('old carts and leavings go each night, and a crontab that goes well mails nothing', async () => {
    const ran = await cron(crontabs[0] ?? '');
    expect(ran.map(({ code, stdout, stderr }) => ({ code, stdout, stderr }))).toEqual([
      { code: 0, stdout: '', stderr: '' },
      { code: 0, stdout: '', stderr: '' },
    ]);
  });

  it('the archive is verified each week, and a mail tells of damage', async () => {
    await prepare('12345');
    const [well] = await cron(crontabs[1] ?? '');
    expect(well).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(existsSync(join(home, 'mail'))).toBe(false);
    const file = join(home, 'data/archive/12345');
    chmodSync(file, 0o644);
    writeFileSync(file, 'bar\n');
    const [damaged] = await cron(crontabs[1] ?? '');
    expect(damaged).toMatchObject({ code: 6, stdout: '', stderr: '' });
    const mail = readFileSync(join(home, 'mail'), 'utf8');
    expect(mail).toMatch(/^-s\npacifica: archive verify ended with 6 on .*\nadmin@example.org\n\{"id":"12345",/);
    expect(mail).toMatch(/\nverified .*: 1 damaged/);
    await archived('12345', 'DELETE');
  });

  it('a tree is ingested, each folder once', async () => {
    rmSync(join(home, 'srv/incoming'), { recursive: true });
    for (const name of ['run-1', 'run-2']) {
      mkdirSync(join(home, 'srv/incoming', name), { recursive: true });
      writeFileSync(join(home, 'srv/incoming', name, 'f'), name);
    }
    const [first] = await cron(crontabs[2] ?? '');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first?.stdout).toMatch(/^\.\/run-1 is in, job \d+\n\.\/run-2 is in, job \d+\n$/);
    expect((await cron(crontabs[2] ?? ''))[0]).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  it('a list is staged overnight', async () => {
    await prepare('12345');
    const [ran] = await cron(crontabs[3] ?? '');
    expect(ran).toMatchObject({ code: 0, stdout: '', stderr: '' });
    const staged = readFileSync(join(home, 'srv/lists/ids.txt.on-disk'), 'utf8');
    expect(staged.trim().split('\n').sort()).toEqual(['file 12345 is on disk', 'file 12346 is on disk']);
  });

  it('carts are made of a query', async () => {
    const rest = scripts.filter((text) => !text.startsWith('#!'));
    expect(rest).toHaveLength(3);
    expect(await failures(rest)).toEqual([]);
    const seen = await run(`${rest[0]}\ncat raw-27/*.raw`);
    expect(seen.stdout).toContain('raw\n');
  });
});
