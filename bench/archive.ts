/**
 * The archive interface beside nginx (sendfile, WebDAV), cp and dd: one file of 1 GiB, and files of 4 KiB over 64
 * connections that are kept. All in one run, in turn, medians of 5. README.md tells what is measured how.
 * `npm run bench -- archive [WORD...]`: only rows whose name has one of the words in it.
 */
import { execFileSync } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { link, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { allAtOnce, download, durableFiles, program, smallRequests, upload } from './support/clients.js';
import { forgetPeakMemory, peakMemory } from './support/proc.js';
import { type Contender, loopText, measure, type Row, type Sample, TABLE_HEAD, verdict } from './support/rows.js';
import { type Daemon, hasNginx, type Server, startBareKoa, startDaemon, startNginx } from './support/servers.js';

const ROUNDS = 5;
const MiB = 2 ** 20;
/** size of the large file, MiB */
const LARGE = 1024;
const SMALL_FILES = 1000;
const SMALL_GETS = 30_000;
const SMALL_PUTS = 4000;
/** transfers at once when memory is looked at, the size of each in MiB, and the most MiB that may be resident then */
const AT_ONCE = 64;
const EACH = 64;
const MEMORY_LIMIT = 150;

const MEMORY_DISK = '/dev/shm';
const words = process.argv.slice(3);

const disk = await mkdtemp(join(tmpdir(), 'pacifica-bench-'));
const memory = existsSync(MEMORY_DISK) ? await mkdtemp(join(MEMORY_DISK, 'pacifica-bench-')) : undefined;
const running: Life[] = [];
const nginxIsThere = hasNginx();

/** A server that can be started anew. */
interface Life<S extends Server = Server> {
  now: S;
  renew(): Promise<void>;
}

async function started<S extends Server>(start: () => Promise<S>): Promise<Life<S>> {
  const life = {
    now: await start(),
    async renew() {
      await life.now.stop();
      life.now = await start();
    },
  };
  running.push(life);
  return life;
}

async function makeLarge(path: string, mebibytes: number): Promise<void> {
  const pieces = Array.from({ length: 16 }, () => randomBytes(MiB));
  await pipeline(
    (function* () {
      for (let index = 0; index < mebibytes; index += 1) yield pieces[index % pieces.length];
    })(),
    createWriteStream(path),
  );
}

/** Runs a request against a server, with what it cost the server. */
async function against(server: Server | Daemon, amount: number, request: () => Promise<number>): Promise<Sample> {
  const isOurs = 'loopDelay' in server;
  if (isOurs) await server.loopDelay();
  const before = server.cpu();
  const seconds = await request();
  const cpu = server.cpu() - before;
  return { rate: amount / seconds, cpu, ...(isOurs && { loop: await server.loopDelay() }) };
}

function getting(name: string, server: Life): Contender {
  return { name, run: () => against(server.now, LARGE, () => download(`http://127.0.0.1:${server.now.port}/1`)) };
}

/** @param isOnDisk writes of earlier runs are waited for first */
function putting(name: string, server: Life, source: string, isOnDisk: boolean): Contender {
  return {
    name,
    async run() {
      const { port, root } = server.now;
      await rm(join(root, '2'), { force: true });
      if (isOnDisk) execFileSync('sync');
      return against(server.now, LARGE, () => upload(`http://127.0.0.1:${port}/2`, source));
    },
  };
}

function copying(name: string, path: string, words: readonly string[], isOnDisk: boolean): Contender {
  return {
    name,
    async run() {
      if (path !== '/dev/null') await rm(path, { force: true });
      if (isOnDisk) execFileSync('sync');
      const [first = '', ...rest] = words;
      return { rate: LARGE / (await program(first, rest)) };
    },
  };
}

function gettingSmall(name: string, server: Life): Contender {
  const options = { requests: SMALL_GETS, first: 1000, files: SMALL_FILES };
  return {
    name,
    run: () => against(server.now, SMALL_GETS, () => smallRequests(server.now.port, 'GET', options)),
  };
}

function puttingSmall(name: string, server: Life): Contender {
  let first = 1_000_000;
  return {
    name,
    run() {
      const options = { requests: SMALL_PUTS, first, files: SMALL_PUTS };
      first += SMALL_PUTS;
      execFileSync('sync');
      return against(server.now, SMALL_PUTS, () => smallRequests(server.now.port, 'PUT', options));
    },
  };
}

/** What no server can do better than: files made durable, and nothing else. */
function makingDurable(name: string): Contender {
  let rounds = 0;
  return {
    name,
    async run() {
      // a new one each: without a journal ext4 makes a file slowly where many were removed in the last minutes
      rounds += 1;
      execFileSync('sync');
      return { rate: SMALL_PUTS / (await durableFiles(join(disk, `durable-${rounds}`), SMALL_PUTS)) };
    },
  };
}

async function rowsOnDisk(source: string): Promise<Row[]> {
  const daemon = await started(() => startDaemon(join(disk, 'ours')));
  const { root } = daemon.now;
  await mkdir(root, { recursive: true });
  await makeLarge(join(root, '1'), LARGE);
  const small = randomBytes(4096);
  for (let id = 1000; id < 1000 + SMALL_FILES; id += 1) await writeFile(join(root, String(id)), small);
  const rows: Row[] = [
    {
      name: 'PUT 1 GiB, disk, sha256, fsync',
      unit: 'MiB/s',
      ours: putting('ours', daemon, source, true),
      others: [
        copying(
          'dd',
          join(disk, 'copy'),
          ['dd', `if=${source}`, `of=${join(disk, 'copy')}`, 'bs=1M', 'conv=fsync'],
          true,
        ),
      ],
      ratio: 0.45,
    },
  ];
  if (!nginxIsThere) return rows;
  const nginx = await started(() => startNginx(join(disk, 'nginx')));
  for (const name of ['1', ...Array.from({ length: SMALL_FILES }, (_, index) => String(1000 + index))]) {
    await link(join(root, name), join(nginx.now.root, name));
  }
  const koa = await started(() => startBareKoa(root, join(disk, 'koa.log')));
  const large = join(root, '1');
  return [
    {
      name: 'GET 1 GiB, page cache',
      unit: 'MiB/s',
      ours: getting('ours', daemon),
      others: [getting('nginx', nginx), copying('cp', '/dev/null', ['cp', large, '/dev/null'], false)],
      ratio: 1.5,
      cpu: 0.4,
      renew: () => Promise.all([daemon.renew(), nginx.renew()]),
    },
    ...rows,
    {
      name: 'GET 4 KiB, 64 connections',
      unit: 'files/s',
      ours: gettingSmall('ours', daemon),
      others: [gettingSmall('nginx', nginx), gettingSmall('Koa that reads the file', koa)],
      ratio: 0.3,
    },
    {
      name: 'PUT 4 KiB, 64 connections, disk, sha256, record, fsync',
      unit: 'files/s',
      ours: puttingSmall('ours', daemon),
      others: [puttingSmall('nginx, none of that', nginx), makingDurable('the disk by itself')],
      ratio: 0.5,
    },
  ];
}

async function rowsInMemory(folder: string, source: string): Promise<Row[]> {
  const nginx = await started(() => startNginx(join(folder, 'nginx')));
  const withDigest = await started(() => startDaemon(join(folder, 'digest')));
  const without = await started(() => startDaemon(join(folder, 'none'), { PACIFICA_ARCHIVEINTERFACE_DIGEST: 'none' }));
  const others = [
    putting('nginx', nginx, source, false),
    copying('cp', join(folder, 'copy'), ['cp', source, join(folder, 'copy')], false),
  ];
  const row = { unit: 'MiB/s', others };
  return [
    { ...row, name: 'PUT 1 GiB, tmpfs, sha256', ours: putting('ours', withDigest, source, false), ratio: 0.45 },
    { ...row, name: 'PUT 1 GiB, tmpfs, no digest', ours: putting('ours', without, source, false), ratio: 0.6 },
  ];
}

/** Memory of a daemon that was just started, and nothing beside it. */
async function memoryOf(what: 'downloads' | 'uploads'): Promise<string> {
  const folder = join(disk, what);
  const daemon = await startDaemon(folder);
  const source = join(folder, 'source');
  await makeLarge(source, EACH);
  const base = `http://127.0.0.1:${daemon.port}`;
  const ids = Array.from({ length: AT_ONCE }, (_, index) => index);
  await upload(`${base}/0`, source);
  forgetPeakMemory(daemon.pid);
  const before = peakMemory(daemon.pid);
  await daemon.loopDelay();
  if (what === 'downloads') await allAtOnce(ids.map(() => `${base}/0`));
  else
    await allAtOnce(
      ids.map((id) => `${base}/${id}`),
      source,
    );
  const loop = await daemon.loopDelay();
  const peak = peakMemory(daemon.pid);
  await daemon.stop();
  await rm(folder, { recursive: true });
  return (
    `${AT_ONCE} ${what} of ${EACH} MiB at once: ${peak.toFixed(0)} MiB resident at most ` +
    `(target ${MEMORY_LIMIT}${verdict(peak < MEMORY_LIMIT)}; ${before.toFixed(0)} after one), ` +
    `event loop blocked for ${loopText([loop])} at most`
  );
}

function isWanted(name: string): boolean {
  return words.length === 0 || words.some((word) => name.includes(word));
}

try {
  if (!nginxIsThere) console.log('skipped, there is no nginx with WebDAV in PATH: all rows beside it');
  if (memory === undefined) console.log(`skipped, there is no ${MEMORY_DISK}: PUT 1 GiB, tmpfs`);
  const source = join(memory ?? disk, 'source');
  await makeLarge(source, LARGE);
  const rows = [
    ...(await rowsOnDisk(source)),
    ...(memory !== undefined && nginxIsThere ? await rowsInMemory(memory, source) : []),
  ];
  console.log(TABLE_HEAD);
  for (const row of rows) if (isWanted(row.name)) console.log(await measure(row, ROUNDS));
  console.log();
  for (const what of ['downloads', 'uploads'] as const) if (isWanted(what)) console.log(await memoryOf(what));
} finally {
  await Promise.all(running.map(({ now }) => now.stop()));
  for (const folder of [disk, memory]) if (folder !== undefined) await rm(folder, { recursive: true, force: true });
}
