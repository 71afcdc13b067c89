/**
 * A file of 1 GiB by its hash: sent by the proxy itself, with the archive in its own process, and sent by nginx in front
 * of it with accel_root; beside nginx that serves the very file. README.md tells what is measured how.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { link, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { download } from './support/clients.js';
import { type House, startHouse } from './support/house.js';
import { measure, type Row, TABLE_HEAD } from './support/rows.js';
import { hasNginx, type Server, startNginx } from './support/servers.js';

const ROUNDS = 15;
const MiB = 2 ** 20;
/** size of the file, MiB */
const LARGE = 1024;

async function makeLarge(path: string): Promise<void> {
  const pieces = Array.from({ length: 16 }, () => randomBytes(MiB));
  await pipeline(
    (function* () {
      for (let index = 0; index < LARGE; index += 1) yield pieces[index % pieces.length];
    })(),
    createWriteStream(path),
  );
}

/** Tells the catalog of the file, as an ingest does. @returns its hash */
async function record(house: House, path: string): Promise<string> {
  const hashsum = execFileSync('sha1sum', [path], { encoding: 'utf8' }).slice(0, 40);
  const entries = [
    { destinationTable: 'Transactions._id', value: 1 },
    ...['submitter', 'project', 'instrument'].map((name) => ({ destinationTable: `Transactions.${name}`, value: 1 })),
    {
      destinationTable: 'Files',
      _id: 1,
      name: 'large.bin',
      subdir: '',
      size: LARGE * MiB,
      mimetype: 'application/octet-stream',
      hashtype: 'sha1',
      hashsum,
    },
  ];
  const answer = await fetch(`${house.urls.catalog ?? ''}/ingest`, { method: 'PUT', body: JSON.stringify(entries) });
  if (!answer.ok) throw new Error(`the catalog answered ${answer.status}: ${await answer.text()}`);
  return hashsum;
}

function getting(name: string, url: () => string, cpu: () => number): Row['ours'] {
  return {
    name,
    async run() {
      const before = cpu();
      const seconds = await download(url());
      return { rate: LARGE / seconds, cpu: cpu() - before };
    },
  };
}

if (!hasNginx()) {
  console.error('there is no nginx in PATH, which everything here is measured beside');
  process.exit(1);
}
const folder = await mkdtemp(join(tmpdir(), 'pacifica-bench-'));
const data = join(folder, 'data');

/** What is measured, all of one life. */
interface Servers {
  /** sends files by itself */
  readonly plain: House;
  /** on the same data, hands over to nginx */
  readonly handing: House;
  readonly nginx: Server;
}

async function start(): Promise<Servers> {
  const plain = await startHouse(data);
  const handing = await startHouse(data, { PACIFICA_NGINX_ACCEL_ROOT: '/archive_files' });
  const nginx = await startNginx(
    join(folder, 'nginx'),
    `location /files/ { proxy_pass ${handing.urls.proxy ?? ''}; proxy_http_version 1.1; }
     location /archive_files/ { internal; alias ${plain.archive}/; etag off; add_header ETag $upstream_http_etag; }`,
  );
  return { plain, handing, nginx };
}

async function stop({ plain, handing, nginx }: Servers): Promise<void> {
  for (const one of [plain, handing, nginx]) await one.stop();
}

let servers = await start();
try {
  const path = join(servers.plain.archive, '1');
  await mkdir(servers.plain.archive, { recursive: true });
  await makeLarge(path);
  const file = `/files/sha1/${await record(servers.plain, path)}`;
  await link(path, join(servers.nginx.root, '1'));
  const front = (): string => `http://127.0.0.1:${servers.nginx.port}`;
  const renew = async (): Promise<void> => {
    await stop(servers);
    servers = await start();
  };
  const beside = getting(
    'nginx',
    () => `${front()}/1`,
    () => servers.nginx.cpu(),
  );
  const rows: Row[] = [
    {
      name: 'GET 1 GiB by hash, nginx sends it (accel_root)',
      unit: 'MiB/s',
      ours: getting(
        'accel_root',
        () => front() + file,
        () => servers.nginx.cpu() + servers.handing.cpu(),
      ),
      others: [beside],
      ratio: 0.9,
      renew,
    },
    {
      name: 'GET 1 GiB by hash, without nginx',
      unit: 'MiB/s',
      ours: getting(
        'ours',
        () => (servers.plain.urls.proxy ?? '') + file,
        () => servers.plain.cpu(),
      ),
      others: [beside],
      ratio: 1.5,
      cpu: 0.5,
      renew,
    },
  ];
  console.log(TABLE_HEAD);
  for (const row of rows) console.log(await measure(row, ROUNDS));
} finally {
  await stop(servers);
  await rm(folder, { recursive: true, force: true });
}
