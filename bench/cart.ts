/**
 * Carts: the tar out against `tar c | cat`, POST to ready against one sha1sum (and openssl) of all files, many small
 * carts from 16 clients, and one cart of very many files. Everything in a row, the programs in turns, medians of 5.
 * `npm run bench -- cart [out|ready|many|scale] [files of scale]`
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const ROUNDS = 5;
/** clock ticks a second of /proc/PID/stat (proc(5)) */
const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const program = fileURLToPath(new URL('../bin/run.js', import.meta.url));

interface FileId {
  readonly id: string;
  readonly path: string;
  readonly hashtype: string;
  readonly hashsum: string;
}

/** The built cart service on a folder of its own, with a local archive. */
class Site {
  readonly folder = mkdtempSync(join(tmpdir(), 'pacifica-bench-'));
  url = '';
  #pid = 0;
  #stop: () => Promise<void> = () => Promise.resolve();
  #nextId = 1;
  readonly #agent = new Agent({ keepAlive: true });

  async start(): Promise<void> {
    const words = ['cart', 'serve', '--data-dir', this.folder, '--port', '0', '--json'];
    const child = spawn(process.execPath, [program, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, PACIFICA_LOG_LEVEL: 'error' },
    });
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    this.url = (JSON.parse(line) as { urls: { cart: string } }).urls.cart;
    this.#pid = child.pid ?? 0;
    this.#stop = async () => {
      child.kill();
      await once(child, 'exit');
    };
  }

  stop(): Promise<void> {
    return this.#stop();
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    await this.#stop();
    rmSync(this.folder, { recursive: true });
  }

  /** Lays files into the archive's folder. @returns them as the files of a cart */
  lay(count: number, size: number, folder: string): FileId[] {
    mkdirSync(join(this.folder, 'archive'), { recursive: true });
    return Array.from({ length: count }, (_, index) => {
      const id = String(this.#nextId++);
      const path = join(this.folder, 'archive', id);
      const content = Buffer.alloc(size, `${id} `);
      writeFileSync(path, content, { mode: 0o444 });
      utimesSync(path, 1_600_000_000, 1_600_000_000);
      const hashsum = createHash('sha1').update(content).digest('hex');
      return { id, path: `${folder}/${Math.floor(index / 1000)}/${index}`, hashtype: 'sha1', hashsum };
    });
  }

  /** Makes a cart. @returns ms to the answer of POST, and to ready */
  async cart(uid: string, body: string, pause: number): Promise<{ posted: number; ready: number; heads: number[] }> {
    const began = performance.now();
    const { status: answer } = await this.#ask('POST', uid, body);
    if (answer !== 201) throw new Error(`POST: ${answer}`);
    const posted = performance.now() - began;
    const heads: number[] = [];
    for (;;) {
      const asked = performance.now();
      const { headers } = await this.#ask('HEAD', uid);
      heads.push(performance.now() - asked);
      const status = headers['x-pacifica-status'];
      if (status === 'ready') return { posted, ready: performance.now() - began, heads };
      if (status !== 'staging') throw new Error(`${uid}: ${String(status)} ${String(headers['x-pacifica-message'])}`);
      await sleep(pause);
    }
  }

  /** Asks on a connection that is kept, which fetch does not after HEAD. */
  async #ask(method: string, uid: string, body = ''): Promise<{ status: number; headers: IncomingHttpHeaders }> {
    const sent = request(`${this.url}/${uid}`, { method, agent: this.#agent }).end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    await once(answer.resume(), 'end');
    return { status: answer.statusCode ?? 0, headers: answer.headers };
  }

  /** s of CPU that the service has used */
  cpu(): number {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  /** most memory that it had resident since the last call of {@link forgetPeak}, in MiB */
  peak(): number {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.#pid}/status`, 'utf8'))?.[1]) / 1024;
  }

  forgetPeak(): void {
    writeFileSync(`/proc/${this.#pid}/clear_refs`, '5');
  }
}

/** Runs a command of the shell. @returns s */
function shell(command: string): number {
  const began = performance.now();
  execFileSync('bash', ['-c', `set -o pipefail; ${command}`], { stdio: ['ignore', 'ignore', 'inherit'] });
  return (performance.now() - began) / 1000;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** One cart of 1,000 x 100 KiB and 1 GiB, which the targets are about; and each half of it by itself. */
function sets(site: Site): { name: string; files: FileId[]; bytes: number }[] {
  const small = { name: '1,000 x 100 KiB', files: site.lay(1000, 100 * 1024, 'small'), bytes: 1000 * 100 * 1024 };
  const large = { name: '1 x 1 GiB', files: site.lay(1, GiB, 'large'), bytes: GiB };
  const both = {
    name: '1,000 x 100 KiB and 1 GiB',
    files: [...small.files, ...large.files],
    bytes: small.bytes + large.bytes,
  };
  return [both, small, large];
}

async function out(site: Site): Promise<void> {
  for (const [index, { name, files, bytes }] of sets(site).entries()) {
    const uid = `out-${index}`;
    await site.cart(uid, JSON.stringify({ fileids: files }), 10);
    const folder = join(site.folder, 'cart/cartuids', uid);
    const ours: number[] = [];
    const tar: number[] = [];
    const cpu: number[] = [];
    // as many bytes in both, so that the start of a program does not count
    const times = Math.ceil(GiB / bytes);
    const repeat = (command: string): number =>
      shell(`for i in $(seq ${times}); do ${command}; done`) / ((times * bytes) / MiB);
    site.forgetPeak();
    for (let round = 0; round < ROUNDS; round += 1) {
      tar.push(1 / repeat(`tar c -C ${folder}/ . | cat > /dev/null`));
      const before = site.cpu();
      ours.push(1 / repeat(`curl -sSf -o /dev/null '${site.url}/${uid}?filename=x.tar'`));
      cpu.push(((site.cpu() - before) / (times * bytes)) * GiB);
    }
    const [a, b] = [median(ours), median(tar)];
    console.log(
      `out, ${name}: ${a.toFixed(0)} MiB/s, tar c | cat ${b.toFixed(0)}: ratio ${(a / b).toFixed(2)}; ` +
        `CPU ${median(cpu).toFixed(2)} s/GiB; most resident ${site.peak().toFixed(0)} MiB`,
    );
  }
}

async function ready(site: Site): Promise<void> {
  for (const [index, { name, files }] of sets(site).entries()) {
    const body = JSON.stringify({ fileids: files });
    const folder = join(site.folder, 'archive');
    const list = join(site.folder, 'list');
    writeFileSync(list, files.map(({ id }) => `${id}\0`).join(''));
    const times: Record<string, number[]> = { pacifica: [], sha1sum: [], openssl: [] };
    site.forgetPeak();
    for (let round = 0; round < ROUNDS; round += 1) {
      times.sha1sum?.push(shell(`cd ${folder} && xargs -0 sha1sum < ${list}`));
      times.openssl?.push(shell(`cd ${folder} && xargs -0 openssl dgst -sha1 < ${list}`));
      times.pacifica?.push((await site.cart(`ready-${index}-${round}`, body, 5)).ready / 1000);
    }
    const texts = Object.entries(times).map(([who, all]) => `${who} ${median(all).toFixed(3)} s`);
    console.log(`POST to ready, ${name}: ${texts.join(', ')}; most resident ${site.peak().toFixed(0)} MiB`);
  }
}

async function many(site: Site): Promise<void> {
  const CARTS = 1000;
  const CLIENTS = 16;
  const files = site.lay(10_000, 1024, 'tiny');
  const rates: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    const uids = Array.from({ length: CARTS }, (_, index) => `many-${round}-${index}`);
    const began = performance.now();
    const client = async (): Promise<void> => {
      for (let uid = uids.pop(); uid !== undefined; uid = uids.pop()) {
        const first = Number(uid.split('-')[2]) * 10;
        await site.cart(uid, JSON.stringify({ fileids: files.slice(first, first + 10) }), 50);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    rates.push(CARTS / ((performance.now() - began) / 1000));
  }
  console.log(
    `${CARTS} carts of 10 files, ${CLIENTS} clients: ${rates.map((rate) => rate.toFixed(0)).join(', ')} carts/s; ` +
      `most resident ${site.peak().toFixed(0)} MiB`,
  );
}

async function scale(site: Site, count: number): Promise<void> {
  const files = site.lay(count, 100, 'scale');
  const body = JSON.stringify({ fileids: files });
  site.forgetPeak();
  const before = site.cpu();
  const { posted, ready: end, heads } = await site.cart('scale', body, 100);
  const sorted = heads.toSorted((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.floor((sorted.length - 1) * part)] ?? NaN).toFixed(1);
  console.log(
    `one cart of ${count} files, ${(body.length / MiB).toFixed(0)} MiB of JSON: POST ${(posted / 1000).toFixed(1)} s, ` +
      `ready after ${(end / 1000).toFixed(1)} s, CPU ${(site.cpu() - before).toFixed(1)} s; ` +
      `HEAD meanwhile: median ${at(0.5)} ms, 99 % ${at(0.99)} ms, worst ${at(1)} ms; ` +
      `most resident ${site.peak().toFixed(0)} MiB`,
  );
  const began = performance.now();
  const size = execFileSync('bash', ['-c', `curl -sSf '${site.url}/scale?filename=x.tar' | wc -c`], {
    encoding: 'utf8',
  });
  const seconds = (performance.now() - began) / 1000;
  console.log(`its tar of ${(Number(size) / MiB).toFixed(0)} MiB out: ${seconds.toFixed(1)} s`);
  const database = statSync(join(site.folder, 'pacifica.db')).size;
  console.log(`the database has ${(database / MiB).toFixed(0)} MiB; most resident ${site.peak().toFixed(0)} MiB`);
}

const [, , , part = 'all', count = '100000'] = process.argv;
const works: readonly (readonly [string, (site: Site) => Promise<void>])[] = [
  ['out', out],
  ['ready', ready],
  ['many', many],
  ['scale', (site) => scale(site, Number(count))],
];
for (const [name, work] of works) {
  if (part !== 'all' && part !== name) continue;
  const site = new Site();
  // the first start makes the database; what that takes of memory is none of what is measured
  await site.start();
  await site.stop();
  await site.start();
  try {
    await work(site);
  } finally {
    await site.close();
  }
}
