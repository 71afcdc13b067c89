/**
 * Ingest of whole bundles, from POST to `complete`, beside `tar x` followed by `sha1sum` on the same disk. All in one run,
 * in turn, medians of 3. README.md tells what is measured how.
 * `npm run bench -- ingest [WORD...]`: only the bundles whose name has one of the words in it; `million` only when named.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createInterface } from 'node:readline';
import { TarLayout } from '../src/lib/tar/layout.js';
import type { TarEntry } from '../src/lib/tar/header.js';
import { readChunks, type RandomReader } from '../src/lib/random-reader.js';
import { forgetPeakMemory, peakMemory } from './support/proc.js';
import { median, verdict } from './support/rows.js';

const ROUNDS = 3;
/** ms from when files were removed to the next measurement: longer than ext4's EXT4_RECENTCY_MIN (fs/ext4/ialloc.c) */
const AFTER_REMOVAL = 65_000;
const KiB = 1024;
const MiB = 1024 * KiB;
const run = promisify(execFile);
const program = fileURLToPath(new URL('../bin/run.js', import.meta.url));

interface Load {
  readonly name: string;
  readonly files: number;
  /** size of file n in bytes */
  readonly size: (index: number) => number;
  readonly rounds: number;
  /** least rate, as a part of that of `tar x` and `sha1sum` */
  readonly ratio?: number;
  /** least files a second */
  readonly rate?: number;
  /** most MiB resident */
  readonly memory?: number;
}

const LOADS: readonly Load[] = [
  {
    name: '1,000 x 100 KiB and 1 GiB',
    files: 1001,
    size: (index) => (index === 1000 ? 1024 * MiB : 100 * KiB),
    rounds: ROUNDS,
    ratio: 1.5,
    memory: 150,
  },
  { name: '20,000 x 1 KiB', files: 20_000, size: () => KiB, rounds: ROUNDS, rate: 1000, memory: 150 },
  { name: '100,000 x 1 KiB', files: 100_000, size: () => KiB, rounds: 1, memory: 250 },
  { name: 'million x 100 B', files: 1_000_000, size: () => 100, rounds: 1 },
];

const words = process.argv.slice(3);
const chosen = LOADS.filter(({ name }) =>
  words.length === 0 ? !name.startsWith('million') : words.some((word) => name.includes(word)),
);
const folder = await mkdtemp(join(tmpdir(), 'pacifica-bench-'));

/** The bytes of file n: no two files are the same. */
function reader(index: number, size: number): RandomReader {
  const piece = Buffer.alloc(64 * KiB, `file ${index} `);
  return {
    size,
    async read(buffer, position) {
      const length = Math.min(buffer.length, size - position);
      for (let at = 0; at < length;) {
        const part = piece.subarray((position + at) % piece.length).subarray(0, length - at);
        buffer.set(part, at);
        at += part.length;
      }
      return Promise.resolve(length);
    },
    close: () => Promise.resolve(),
  };
}

async function sha1(source: RandomReader): Promise<string> {
  const hash = createHash('sha1');
  for await (const chunk of readChunks(source)) hash.update(chunk);
  return hash.digest('hex');
}

/** Writes a bundle, metadata.txt last. */
async function makeBundle({ files, size }: Load, path: string): Promise<void> {
  const entries = [
    '{"destinationTable":"Transactions.submitter","value":10}',
    '{"destinationTable":"Transactions.project","value":"1234a"}',
    '{"destinationTable":"Transactions.instrument","value":54}',
  ];
  const head = { destinationTable: 'Files', mimetype: 'application/octet-stream', hashtype: 'sha1' };
  const times = { ctime: '2026-01-01T00:00:00', mtime: '2026-01-01T00:00:00' };
  for (let index = 0; index < files; index += 1) {
    const hashsum = await sha1(reader(index, size(index)));
    const place = { name: `f${index}`, subdir: `data/d${index % 100}`, size: size(index) };
    entries.push(JSON.stringify({ ...head, ...place, hashsum, ...times }));
  }
  const metadata = Buffer.from(`[${entries.join(',\n')}]`);
  const batches = Math.ceil(files / 500);
  const layout = await TarLayout.of<TarEntry & { index?: number }>({
    batches: batches + 1,
    async batch(batch) {
      if (batch === batches)
        return [{ path: 'metadata.txt', size: metadata.length, mtime: 1_700_000_000, type: 'file' }];
      const count = Math.min(500, files - batch * 500);
      return Promise.resolve(
        Array.from({ length: count }, (_, offset) => {
          const index = batch * 500 + offset;
          return {
            path: `data/d${index % 100}/f${index}`,
            size: size(index),
            mtime: 1_700_000_000,
            type: 'file',
            index,
          };
        }),
      );
    },
    async open({ index }) {
      if (index !== undefined) return Promise.resolve(reader(index, size(index)));
      const text: RandomReader = {
        size: metadata.length,
        read: async (buffer, position) => Promise.resolve(metadata.copy(buffer, 0, position, position + buffer.length)),
        close: () => Promise.resolve(),
      };
      return text;
    },
  });
  const source = layout.reader();
  await pipeline(Readable.from(copies(readChunks(source))), createWriteStream(path));
  await source.close();
}

async function* copies(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) yield Buffer.from(chunk);
}

interface Ingest {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

async function startIngest(data: string): Promise<Ingest> {
  const ports = ['archive', 'cart', 'ingest', 'proxy', 'catalog', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
  const child = spawn(process.execPath, [program, 'serve', '--data-dir', data, ...ports, '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { pid, urls } = JSON.parse(line) as { pid: number; urls: { ingest: string } };
  return {
    url: urls.ingest,
    pid,
    async stop() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

/** @returns seconds from POST to `complete`, and of them those of the POST */
async function ingest({ url }: Ingest, bundle: string): Promise<{ all: number; post: number }> {
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const words = ['-sSf', '-H', 'Expect:', '-X', 'POST', '-T', bundle, `${url}/upload`];
  const { job_id: id } = JSON.parse((await run('curl', words)).stdout) as { job_id: number };
  const post = seconds();
  for (;;) {
    const answer = await fetch(`${url}/get_state?job_id=${id}`);
    const { state, complete, exception } = (await answer.json()) as {
      state: string;
      complete: boolean;
      exception: string;
    };
    if (state !== 'OK') throw new Error(exception);
    if (complete) return { all: seconds(), post };
    await sleep(20);
  }
}

/** What it unpacks stays until all rounds are over. @returns seconds of `tar x` and then `sha1sum` of every file */
async function tarAndSum(bundle: string): Promise<number> {
  const out = await mkdtemp(join(folder, 'out-'));
  const started = performance.now();
  await run('sh', [
    '-c',
    `tar xf "${bundle}" -C "${out}" && find "${out}/data" -type f -print0 | xargs -0 sha1sum >/dev/null`,
  ]);
  return (performance.now() - started) / 1000;
}

console.log(
  '| bundle | ours: POST to complete (POST alone) | tar x, sha1sum | ratio, target | files/s | most resident | load |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- |');
let daemon: Ingest | undefined;
try {
  for (const load of chosen) {
    const bundle = join(folder, 'bundle.tar');
    await makeBundle(load, bundle);
    daemon = await startIngest(join(folder, 'data'));
    const running = daemon;
    // what the start takes is no part of an ingest
    forgetPeakMemory(running.pid);
    const ours: { all: number; post: number }[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < load.rounds; round += 1) {
      const steps = [
        async () => ours.push(await ingest(running, bundle)),
        async () => theirs.push(await tarAndSum(bundle)),
      ];
      for (const step of round % 2 === 0 ? steps : steps.reverse()) {
        // writes of earlier steps are no part of this one
        execFileSync('sync');
        await step();
      }
    }
    const memory = peakMemory(running.pid);
    await daemon.stop();
    daemon = undefined;
    for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
    // without a journal ext4 looks at every inode that was freed in the last minute before it takes one (half a
    // millisecond a file after some thousands); in those that are not on the disk yet, for five minutes more
    execFileSync('sync');
    await sleep(AFTER_REMOVAL);
    const all = median(ours.map((one) => one.all));
    const beside = median(theirs);
    const ratio = beside / all;
    const rate = load.files / all;
    const target = (value: number | undefined, met: boolean): string =>
      value === undefined ? '' : ` (at least ${value}${verdict(met)})`;
    const most = load.memory === undefined ? '' : ` (less than ${load.memory}${verdict(memory < load.memory)})`;
    console.log(
      `| ${[
        load.name,
        `${all.toFixed(1)} s (${median(ours.map((one) => one.post)).toFixed(1)})`,
        `${beside.toFixed(1)} s`,
        `${ratio.toFixed(2)}${target(load.ratio, ratio >= (load.ratio ?? 0))}`,
        `${Math.round(rate)}${target(load.rate, rate >= (load.rate ?? 0))}`,
        `${Math.round(memory)} MiB${most}`,
        loadavg()[0]?.toFixed(1),
      ].join(' | ')} |`,
    );
  }
} finally {
  await daemon?.stop();
  await rm(folder, { recursive: true, force: true });
}
