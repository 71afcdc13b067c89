// The main job on a folder of its own: everything is started, a tree of files goes in, comes back by hash and as a cart,
// and every byte is checked by the system's own tar and sha1sum. Exits 0 only if all came back. Leaves nothing behind.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = fileURLToPath(new URL('../bin/run.js', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'pacifica-demo-'));
const tree = join(home, 'experiment');
const MiB = 1024 * 1024;
let server;
let env = { ...process.env };

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    console.error(`\n${signal}: cleaning up`);
    server?.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true });
    process.exit(130);
  });
}

try {
  await main();
  console.log('All bytes came back.');
} catch (error) {
  console.error(`The demo failed: ${error.stderr?.toString().trim() || error.message}`);
  process.exitCode = 1;
} finally {
  if (server !== undefined && server.exitCode === null) {
    server.kill('SIGTERM');
    await new Promise((resolve) => server.once('exit', resolve));
  }
  rmSync(home, { recursive: true, force: true });
}

async function main() {
  await step('start archive, cart, ingest, proxy and catalog in one process', startServer);
  const bytes = await step('make a tree of files', makeTree);
  const sums = await step('take their sha1 with sha1sum', takeSums, bytes);

  const job = await step('upload them as one bundle while it is made', upload, bytes);
  await step(`watch job ${job.job_id} to its end`, () => watch(job.job_id), bytes);

  const [sum, name] = sums.find(([, path]) => path.includes('Größe'));
  await step(`get ${name} by its hash, check it with sha1sum`, () => fetchByHash(sum));

  const uid = await step(
    'make a cart of all files and wait until it is ready',
    () => makeCart(job.job_id, sums.length),
    bytes,
  );
  const tar = join(home, 'cart.tar');
  await step('download the cart as a tar', () => pacifica('cart', 'get', uid, '-o', tar), bytes);
  await step('unpack it with tar, check every file with sha1sum', () => checkCart(tar, sums), bytes);
  await step('stop the server', stopServer);
}

async function step(text, work, bytes = 0) {
  const started = performance.now();
  const result = await work();
  const seconds = (performance.now() - started) / 1000;
  const rate = bytes > 0 ? `, ${Math.round(bytes / MiB / seconds)} MiB/s` : '';
  console.log(`${text}: ${seconds.toFixed(2)} s${rate}`);
  return result;
}

async function startServer() {
  const ports = ['archive', 'cart', 'ingest', 'proxy', 'catalog', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
  const log = openSync(join(home, 'server.log'), 'w');
  server = spawn(process.execPath, [run, 'serve', '--json', '--data-dir', join(home, 'data'), ...ports], {
    stdio: ['ignore', 'pipe', log],
  });
  closeSync(log);
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: server.stdout }).once('line', (line) => resolve(JSON.parse(line)));
    server.once('exit', (code) =>
      reject(new Error(`the server ended with ${code}: ${readFileSync(join(home, 'server.log'), 'utf8')}`)),
    );
  });
  const { urls } = await ready;
  for (const [name, url] of Object.entries(urls)) env[`PACIFICA_${name.toUpperCase()}_URL`] = url;
}

function makeTree() {
  const files = {
    'read me.txt': Buffer.from('Files of the demo.\n'),
    'empty.dat': Buffer.alloc(0),
    'data/Größe-Ω.csv': randomFillSync(Buffer.allocUnsafe(3 * MiB)),
    'data/scan-1.raw': randomFillSync(Buffer.allocUnsafe(5 * MiB + 1)),
    'data/deep/er/scan-2.raw': randomFillSync(Buffer.allocUnsafe(2 * MiB + 511)),
  };
  let total = 0;
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(tree, name, '..'), { recursive: true });
    writeFileSync(join(tree, name), content);
    total += content.length;
  }
  const big = openSync(join(tree, 'data/big.raw'), 'w');
  const block = Buffer.allocUnsafe(MiB);
  for (let index = 0; index < 256; index += 1) total += writeSync(big, randomFillSync(block));
  closeSync(big);
  return total;
}

/** @returns [sha1, path below the tree] of each file, as sha1sum sees them */
function takeSums() {
  const list = execFileSync('sh', ['-c', 'find . -type f -exec sha1sum {} +'], { cwd: tree, encoding: 'utf8' });
  return list
    .trim()
    .split('\n')
    .map((line) => [line.slice(0, 40), line.slice(42).replace(/^\.\//, '')]);
}

async function upload() {
  const about = ['--project', 'demo', '--instrument', '54', '--submitter', '10', '--key-value', 'run=demo'];
  return JSON.parse(await pacifica('ingest', 'upload', 'experiment', ...about, '--json'));
}

async function watch(jobId) {
  let shown = '';
  for (;;) {
    const state = await (await fetch(`${env.PACIFICA_INGEST_URL}/get_state?job_id=${jobId}`)).json();
    const text = `  ${state.task} ${Math.round(Number(state.task_percent))} %`;
    if (text !== shown) console.log((shown = text));
    if (state.state !== 'OK') throw new Error(`job ${jobId}: ${state.exception}`);
    if (state.task === 'ingest metadata' && Number(state.task_percent) === 100) return;
    await sleep(100);
  }
}

async function fetchByHash(sum) {
  const file = join(home, 'by-hash');
  await pacifica('proxy', 'get', 'sha1', sum, '-o', file);
  const got = execFileSync('sha1sum', [file], { encoding: 'utf8' }).slice(0, 40);
  if (got !== sum) throw new Error(`by hash came ${got}, wanted ${sum}`);
}

async function makeCart(transaction, count) {
  const files = await (await fetch(`${env.PACIFICA_CATALOG_URL}/files?transaction=${transaction}`)).json();
  if (files.length !== count) throw new Error(`metadata knows ${files.length} files, ${count} went in`);
  const fileids = files.map((file) => ({
    id: String(file._id),
    path: [file.subdir, file.name].filter((part) => part !== '').join('/'),
    hashtype: file.hashtype,
    hashsum: file.hashsum,
  }));
  const list = join(home, 'list.json');
  writeFileSync(list, JSON.stringify({ fileids }));
  return (await pacifica('cart', 'create', '--file', list, '--wait')).trim();
}

function checkCart(tar, sums) {
  const out = join(home, 'out');
  mkdirSync(out);
  execFileSync('tar', ['xf', tar, '-C', out, '--strip-components=1']);
  const list = join(home, 'sums');
  writeFileSync(list, sums.map(([sum, path]) => `${sum}  experiment/${path}\n`).join(''));
  execFileSync('sha1sum', ['--check', '--strict', '--quiet', list], { cwd: out });
  const found = execFileSync('find', ['.', '-type', 'f'], { cwd: out, encoding: 'utf8' }).trim().split('\n').length;
  if (found !== sums.length) throw new Error(`the cart holds ${found} files, ${sums.length} went in`);
  console.log(`  ${found} files, ${Math.round(statSync(tar).size / MiB)} MiB of tar`);
}

async function stopServer() {
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  const code = await ended;
  if (code !== 0) throw new Error(`the server ended with ${code}`);
}

/** Runs a command of ours as a user would, in the folder of the demo. @returns its stdout */
async function pacifica(...args) {
  const { stdout } = await promisify(execFile)(process.execPath, [run, ...args], { cwd: home, env, encoding: 'utf8' });
  return stdout;
}
