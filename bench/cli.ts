// How long commands take to start, beside `node -e 0`: what a shell script that calls them in a loop waits for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../bin/run.js', import.meta.url));
const ROUNDS = Number(process.env.ROUNDS ?? 15);

const server = createServer((_req, res) => {
  res.writeHead(204, {
    'x-pacifica-file': '/5',
    'x-content-length': '18',
    'last-modified': '1473806059.29',
    'x-pacifica-ctime': '1473806059.29',
    'x-pacifica-bytes-per-level': '(18,)',
    'x-pacifica-file-storage-media': 'disk',
  });
  res.end();
});
await once(server.listen(0, '127.0.0.1'), 'listening');
const { port } = server.address() as { port: number };

const commands: Readonly<Record<string, readonly string[]>> = {
  'node -e 0': ['-e', '0'],
  '--version': [program, '--version'],
  '--help': [program, '--help'],
  'archive put --help': [program, 'archive', 'put', '--help'],
  'config show': [program, 'config', 'show'],
  'archive status 5': [program, 'archive', 'status', '5', '--archive-url', `http://127.0.0.1:${port}`],
};

const wall = new Map(Object.keys(commands).map((name) => [name, [] as number[]]));
// interleaved, so that whatever else the machine does falls on all of them
for (let round = 0; round < ROUNDS; round += 1) {
  for (const [name, words] of Object.entries(commands)) {
    const started = performance.now();
    const child = spawn(process.execPath, words, { stdio: 'ignore' });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`${name} ended with ${String(code)}`);
    wall.get(name)?.push(performance.now() - started);
  }
}
server.close();

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
const base = median(wall.get('node -e 0') ?? []);
console.log(`medians of ${ROUNDS}, load ${loadavg()[0]?.toFixed(1) ?? ''}, Node ${process.version}`);
for (const [name, times] of wall) {
  const ms = median(times);
  console.log(
    `${name.padEnd(20)} ${ms.toFixed(0).padStart(5)} ms  ${(ms / base).toFixed(1)} x node -e 0  least ${Math.min(...times).toFixed(0)} ms`,
  );
}
