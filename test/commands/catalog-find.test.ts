import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeBundle, type MadeBundle } from '../support/bundle.js';
import { cliCommand, cliEnv, type CliResult, pacifica } from '../support/cli.js';
import { ingest } from '../support/main-job.js';
import { manyFiles } from '../support/many-files.js';
import { run as runProgram } from '../support/run.js';
import { startServer } from '../support/server.js';
import { type Daemon, startServe } from '../support/serve.js';

let home: string;
let daemon: Daemon;
let env: NodeJS.ProcessEnv;
let bundle: MadeBundle;
let job: number;
let other: number;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-find-'));
  daemon = await startServe(join(home, 'data'));
  const { cart, catalog } = daemon.urls;
  env = { PACIFICA_CART_URL: cart, PACIFICA_CATALOG_URL: catalog };
  bundle = makeBundle(home, [
    { path: 'run 7/größe.raw', content: 'raw one' },
    { path: 'run 7/deep/two.raw', content: 'raw two' },
    { path: 'top.txt', content: 'top' },
    { path: 'odd\u001b[31m.txt', content: 'odd' },
  ]);
  job = (await ingest(daemon, bundle.file)).job_id;
  other = (await ingest(daemon, makeBundle(home, [{ path: 'top.raw', content: 'another' }]).file)).job_id;
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

async function find(...args: string[]): Promise<CliResult> {
  return pacifica(['catalog', 'find', ...args], { env });
}

/** @returns the last column */
const paths = ({ code, stderr, text }: CliResult): string[] => {
  expect([code, stderr]).toEqual([0, '']);
  return text()
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t')[3] ?? '');
};

describe('catalog find', () => {
  it('prints id, size, hash and path of each, newest first, fit for a terminal', async () => {
    const sum = bundle.sums.get('top.txt') ?? '';
    const all = paths(await find('--transaction', String(job)));
    expect(all.toSorted()).toEqual(['odd\\x1b[31m.txt', 'run 7/deep/two.raw', 'run 7/größe.raw', 'top.txt']);
    expect((await find('--name', 'top.txt')).text()).toMatch(new RegExp(`^\\d+\\t3\\tsha1:${sum}\\ttop.txt\\n$`));
  });

  it('finds by all that is given', async () => {
    expect(paths(await find())).toHaveLength(5);
    expect(paths(await find('--name', '*.raw')).toSorted()).toEqual([
      'run 7/deep/two.raw',
      'run 7/größe.raw',
      'top.raw',
    ]);
    expect(paths(await find('--name', '*.raw', '--transaction', String(other)))).toEqual(['top.raw']);
    expect(paths(await find('--key-value', 'Temp C=27', '--name', '?op.*')).toSorted()).toEqual(['top.raw', 'top.txt']);
    expect(paths(await find('--key-value', 'Temp C=28'))).toEqual([]);
    const sum = bundle.sums.get('top.txt') ?? '';
    for (const hash of [sum, sum.toUpperCase(), `sha1:${sum}`]) {
      expect(paths(await find('--hash', hash))).toEqual(['top.txt']);
    }
    expect(paths(await find('--hash', '0'.repeat(32)))).toEqual([]);
  });

  it.each([
    [['--hash', 'abc'], /no hash has 3 characters/],
    [['--hash', `md5:${'0'.repeat(40)}`], /md5/],
    [['--key-value', 'nothing'], /--key-value "nothing"/],
    [['--key-value', '=x'], /--key-value "=x"/],
    [['--transaction', 'x'], /transaction/],
  ])('refuses %j', async (args, message) => {
    const { code, stderr, stdout } = await find(...args);
    expect([code, stdout.length]).toEqual([2, 0]);
    expect(stderr).toMatch(message);
  });

  it('ends with 5 when there is no catalog, and with 5 when something else answers', async () => {
    const server = await startServer((_, res) => void res.end('{"message": "hello"}'));
    const wrong = await find('--catalog-url', server.url, '--name', 'x');
    expect([wrong.code, wrong.stderr]).toEqual([5, expect.stringContaining('no list')]);
    await server.close();
  }, 90_000);

  it('reads a long list a page at a time, and stops when nobody reads on', async () => {
    const body = JSON.stringify(manyFiles(7_000_000, 7_000_001, 3000));
    const answer = await fetch(`${daemon.urls.catalog}/ingest`, { method: 'PUT', body });
    expect(answer.status).toBe(200);
    const ids = (await find('--transaction', '7000000', '--json')).lines().map((line) => (line as { id: number }).id);
    expect(ids).toEqual(Array.from({ length: 3000 }, (_, index) => 7_003_000 - index));
    const [node, program] = cliCommand;
    const first = execFileSync('bash', ['-o', 'pipefail', '-c', `'${node}' '${program}' catalog find | head -n 1`], {
      encoding: 'utf8',
      env: cliEnv(env),
    });
    expect(first).toMatch(/^7003000\t/);
  });
});

describe('cart create', () => {
  const [node, program] = cliCommand;
  const pipe = (command: string): string =>
    execFileSync('bash', ['-o', 'pipefail', '-c', command.replaceAll('pacifica ', `'${node}' '${program}' `)], {
      encoding: 'utf8',
      env: cliEnv(env),
    });

  /** @returns what is in the tar of a cart: content by path below its top folder */
  async function contents(uid: string): Promise<Map<string, string>> {
    const folder = mkdtempSync(join(home, 'out-'));
    await runProgram('bash', [
      '-c',
      `curl -sSf '${daemon.urls.cart}/${uid}' | tar x -C '${folder}' --strip-components 1`,
    ]);
    const names = (await runProgram('find', [folder, '-type', 'f', '-printf', '%P\\n'])).split('\n').filter(Boolean);
    return new Map(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
  }

  it('takes what catalog find prints: several files, and one', async () => {
    pipe("pacifica catalog find --name '*.raw' --json | pacifica cart create raws --from - --wait");
    expect([...(await contents('raws'))].toSorted()).toEqual([
      ['run 7/deep/two.raw', 'raw two'],
      ['run 7/größe.raw', 'raw one'],
      ['top.raw', 'another'],
    ]);
    pipe('pacifica catalog find --name top.txt --json | pacifica cart create single --file - --wait');
    expect([...(await contents('single'))]).toEqual([['top.txt', 'top']]);
  });

  it('takes a whole transaction', async () => {
    const { code, stderr, text } = await pacifica(['cart', 'create', 'whole', '--transaction', String(job), '--wait'], {
      env,
    });
    expect([code, stderr, text()]).toEqual([0, '', 'whole\n']);
    expect([...(await contents('whole')).values()].toSorted()).toEqual(['odd', 'raw one', 'raw two', 'top']);
  });

  it.each<[string[], string, number, RegExp]>([
    [['--transaction', '424242'], '', 3, /no transaction 424242/],
    [['--from', '-'], '', 2, /list of files is empty/],
    [['--from', '-'], '[]', 2, /list of files is empty/],
    [['--from', '-'], '{"id": 1, "path": "a"}\n{"id": 2,\n', 2, /line 2 of standard input/],
    [['--from', '-'], '[\n{"id": 1,\n', 2, /standard input is no JSON/],
    [['--from', '-', '--transaction', '1'], '[]', 2, /file|transaction/],
    [[], '', 2, /file|transaction/],
  ])('refuses %j with %j on its input', async (args, input, exit, message) => {
    const { code, stderr } = await pacifica(['cart', 'create', 'refused', ...args], { env, input });
    expect(code).toBe(exit);
    expect(stderr).toMatch(message);
  });

  it('still takes a list that a person wrote', async () => {
    const [line] = (await find('--name', 'top.txt', '--json')).lines() as { id: number; hashsum: string }[];
    const file = { id: String(line?.id), path: 'a/b.txt', hashtype: 'sha1', hashsum: line?.hashsum };
    writeFileSync(join(home, 'list.json'), JSON.stringify({ fileids: [file] }, undefined, 2));
    const made = await pacifica(['cart', 'create', 'written', '-f', join(home, 'list.json'), '--wait'], { env });
    expect([made.code, made.stderr]).toEqual([0, '']);
    expect([...(await contents('written'))]).toEqual([['a/b.txt', 'top']]);
  });
});
