import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileEntry, transactionEntries } from '../contract/catalog.js';
import { makeBundle, sha1 } from '../support/bundle.js';
import { curl, type CurlAnswer } from '../support/curl.js';
import { type JobState, jobEnd } from '../support/main-job.js';
import { hasNginx, startNginx, type TestNginx } from '../support/nginx.js';
import { Random } from '../support/random.js';
import { run } from '../support/run.js';
import { type Daemon, startDaemon, startServe } from '../support/serve.js';
import { until } from '../support/until.js';

const GiB = 2 ** 30;
const USERS = { dmlb2001: 'secret', 'gro"ss': 'x' };
const RULES = {
  users: [
    { _id: 10, network_id: 'dmlb2001', first_name: 'David', last_name: 'Brown' },
    { _id: 1, network_id: 'operator', admin: true },
  ],
  instruments: [{ _id: 54, display_name: 'NMR' }],
  projects: [{ _id: '1234a', title: 'Protein folding', users: [10], instruments: [54] }],
};

describe.skipIf(!hasNginx())('nginx with the configuration of docs/nginx.md', () => {
  let home: string;
  let daemon: Daemon;
  /** a second proxy on the same data, with the other way */
  let accelProxy: Daemon;
  /** a third one, that sends the bytes itself */
  let plainProxy: Daemon;
  const fronts = new Map<string, TestNginx>();
  /** a file of a little more than 2 GiB, mostly holes, with something at places that matter */
  let large: string;
  let largeSum: string;
  const places = [0, GiB, 2 * GiB - 500, 2 * GiB + 777];
  const size = 2 * GiB + 1777;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'pacifica-nginx-'));
    // as docs/nginx.md says: nginx's user must get to the files
    chmodSync(home, 0o711);
    const [data, incoming] = [join(home, 'data'), join(home, 'incoming')];
    mkdirSync(incoming);
    writeFileSync(join(home, 'rules.json'), JSON.stringify(RULES));
    daemon = await startServe(data, {
      PACIFICA_NGINX_ACCEL_ROOT: '/archive_files',
      PACIFICA_POLICY_RULES: join(home, 'rules.json'),
      PACIFICA_ARCHIVEINTERFACE_MOVE_ROOTS: incoming,
    });
    const proxyWords = ['proxy', 'serve', '--data-dir', data, '--port', '0', '--admin-port', '0'];
    accelProxy = await startDaemon(proxyWords, { PACIFICA_NGINX_ACCEL: 'on' });
    plainProxy = await startDaemon(proxyWords);
    for (const [name, proxy] of [
      ['accel_root', daemon],
      ['accel', accelProxy],
      ['neither', plainProxy],
    ] as const) {
      const site = {
        archive: join(data, 'archive'),
        urls: { ...daemon.urls, proxy: proxy.urls.proxy ?? '' },
        users: USERS,
      };
      fronts.set(name, await startNginx(join(home, name), site));
    }
    large = join(home, 'large');
    await writeLarge(large);
    largeSum = (await run('sha1sum', [large])).slice(0, 40);
    await writeLarge(join(incoming, 'large'));
    await store(7, size, largeSum, { name: 'größe 2.bin' }, join(incoming, 'large'));
  }, 300_000);

  afterAll(async () => {
    for (const front of fronts.values()) await front.stop();
    for (const one of [plainProxy, accelProxy, daemon]) await one.stop('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  });

  /** Writes the file, or the beginning of it, without its holes. */
  async function writeLarge(path: string, length = size): Promise<void> {
    const random = new Random(7);
    const file = await open(path, 'w');
    for (const place of places) {
      const bytes = Buffer.from(Array.from({ length: 1000 }, () => random.below(256)));
      await file.write(bytes, 0, Math.max(0, Math.min(1000, length - place)), place);
    }
    await file.truncate(length);
    await file.close();
  }

  /** Takes a file into the archive and its metadata into the catalog, as services do. */
  async function store(id: number, bytes: number, sum: string, fields: object, path: string): Promise<void> {
    const moved = await curl(['-X', 'PATCH', '-d', JSON.stringify({ path }), `${daemon.urls.archive}/${id}`]);
    expect([moved.status, moved.text()]).toEqual([200, '{"message": "File Moved Successfully"}']);
    const entries = transactionEntries(id, fileEntry(id, { hashsum: sum, size: bytes, ...fields }));
    const told = await curl(['-X', 'PUT', '-d', JSON.stringify(entries), `${daemon.urls.catalog}/ingest`]);
    expect(told.text()).toBe('{"status": "success"}');
  }

  const front = (name: string): TestNginx => {
    const found = fronts.get(name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  };
  const login = ['--user', 'dmlb2001:secret'];
  const as = (name: string, ...words: string[]): string[] => ['--cacert', front(name).certificate, ...login, ...words];
  const get = async (name: string, path: string, ...words: string[]): Promise<CurlAnswer> =>
    curl(as(name, ...words, `${front(name).url}${path}`));

  describe.each(['accel_root', 'accel', 'neither'])('%s', (name) => {
    const file = (): string => `/files/sha1/${largeSum}`;

    it('tells what the proxy says of the file, once', async () => {
      const header = {
        'Content-Type': 'application/octet-stream',
        'Content-Disposition': 'attachment; filename="gr__e 2.bin"; filename*=UTF-8\'\'gr%C3%B6%C3%9Fe%202.bin',
        'Content-Length': String(size),
        'Accept-Ranges': 'bytes',
        'Cache-Control': 'max-age=31536000, immutable',
        ETag: `"${largeSum}"`,
        'Repr-Digest': `sha=:${Buffer.from(largeSum, 'hex').toString('base64')}:`,
      };
      for (const words of [['--head'], ['-r', '0-9']]) {
        const { status, rawHeaders } = await get(name, file(), ...words);
        const length = status === 206 ? { 'Content-Length': '10' } : {};
        expect(Object.fromEntries(rawHeaders)).toMatchObject({ ...header, ...length });
        const names = rawHeaders.map(([one]) => one.toLowerCase());
        expect(names).toEqual([...new Set(names)]);
      }
    });

    it('sends any range of it', async () => {
      const real = await open(large);
      const random = new Random(3);
      const near = (place: number): [number, number] => {
        const start = Math.max(0, place - 1000 + random.below(2000));
        return [start, Math.min(size, start + 1 + random.below(5000))];
      };
      for (const [start, end] of [...places, ...places, size - 1500].map(near)) {
        const answer = await get(name, file(), '-r', `${start}-${end - 1}`);
        expect([answer.status, answer.header('Content-Range')]).toEqual([206, `bytes ${start}-${end - 1}/${size}`]);
        const wanted = Buffer.alloc(end - start);
        await real.read(wanted, 0, wanted.length, start);
        expect(answer.body.equals(wanted)).toBe(true);
      }
      await real.close();
      expect((await get(name, file(), '-r', '-1')).header('Content-Range')).toBe(
        `bytes ${size - 1}-${size - 1}/${size}`,
      );
      const beyond = await get(name, file(), '-r', `${size}-`);
      expect([beyond.status, beyond.header('Content-Range')]).toEqual([416, `bytes */${size}`]);
    });

    it.each([
      [[], 'If-None-Match', 'TAG', 304],
      [[], 'If-Modified-Since', 'Fri, 01 Jan 2100 00:00:00 GMT', 304],
      [['-r', '0-9'], 'If-Range', 'TAG', 206],
      [['-r', '0-9'], 'If-Match', 'TAG', 206],
      [['-r', '0-9'], 'If-Match', '"other"', 412],
      [['-r', '0-9'], 'If-None-Match', '"other"', 206],
    ])('heeds %j %s: %s with %i', async (words, condition, value, status) => {
      const tag = value === 'TAG' ? `"${largeSum}"` : value;
      const answer = await get(name, file(), ...words, '-H', `${condition}: ${tag}`);
      expect(answer.status).toBe(status);
      expect(answer.body.length).toBe(status === 206 ? 10 : answer.body.length);
    });

    it('passes on that there is no such file, as JSON', async () => {
      const answer = await get(name, `/files/sha1/${'0'.repeat(40)}`);
      expect([answer.status, answer.json()]).toMatchObject([404, { message: 'File does not exist.' }]);
      expect(answer.header('Content-Type')).toBe('application/json');
    });

    it('shows nobody the way inside', async () => {
      for (const path of ['/archive_files/7', '/archivei_accel/7', '/archive_files/../pacifica.db']) {
        expect((await get(name, path)).status).toBe(404);
      }
      expect((await get(name, file(), '--head')).header('X-Accel-Redirect')).toBeUndefined();
    });

    it('has nothing to complain of', () => {
      expect(front(name).errors()).toBe('');
    });
  });

  describe.each(['accel_root', 'accel'])('a file of 2 GiB, %s', (name) => {
    const url = (): string => `${front(name).url}/files/sha1/${largeSum}`;

    it('comes whole', { timeout: 300_000 }, async () => {
      const words = ['curl', '-sSf', ...as(name), url()].map((word) => `'${word}'`).join(' ');
      // fails where a byte differs, or the length
      await run('bash', ['-o', 'pipefail', '-c', `${words} | cmp - '${large}'`]);
    });

    it('is gone on with by curl where it broke off', { timeout: 300_000 }, async () => {
      const target = join(home, 'part');
      await writeLarge(target, 2 * GiB - 300);
      await run('curl', ['-sSf', ...as(name), '-C', '-', '-o', target, url()]);
      await run('cmp', [large, target]);
      rmSync(target);
    });
  });

  it('accel_root asks the archive for nothing, accel does', async () => {
    const asked = (): number =>
      daemon.log().match(/"service":"archive"[^\n]*"method":"GET"[^\n]*"url":"\/7"/g)?.length ?? 0;
    const before = asked();
    await get('accel_root', `/files/sha1/${largeSum}`, '-r', '0-9');
    await get('accel', `/files/sha1/${largeSum}`, '-r', '0-9');
    // the log line of the second is written after its answer
    await until('the archive to have been asked', () => asked() > before);
    expect(asked()).toBe(before + 1);
  });

  it('sends a small file', async () => {
    const small = join(home, 'incoming', 'small');
    writeFileSync(small, 'small');
    await store(300, 5, sha1(Buffer.from('small')), { name: 'a b.txt' }, small);
    for (const name of fronts.keys()) {
      expect((await get(name, `/files/sha1/${sha1(Buffer.from('small'))}`)).text()).toBe('small');
    }
  });

  it('leads to TLS, and lets nobody in without a password', async () => {
    const { plainUrl } = front('accel_root');
    const moved = await curl([`${plainUrl}/files/x`]);
    expect([moved.status, moved.header('Location')]).toEqual([301, 'https://127.0.0.1/files/x']);
    const words = ['--cacert', front('accel_root').certificate];
    for (const path of [`/files/sha1/${largeSum}`, '/upload', '/carts/x', '/policy/uploader']) {
      expect((await curl([...words, `${front('accel_root').url}${path}`])).status).toBe(401);
    }
    expect((await curl([...words, '--user', 'dmlb2001:wrong', `${front('accel_root').url}/carts/x`])).status).toBe(401);
  });

  it('tells the services who logged in, whatever the client says', async () => {
    const metadata = JSON.stringify(transactionEntries(1));
    const spoof = ['-H', 'X-Http-Authed-User: operator'];
    expect((await get('accel', '/policy/ingest', '-d', metadata, ...spoof)).text()).toBe('{"status": "success"}');
    const other = await curl([
      ...['--cacert', front('accel').certificate, '--user', 'gro"ss:x', '-d', metadata, ...spoof],
      `${front('accel').url}/policy/ingest`,
    ]);
    expect(other.status).toBe(412);
    expect(other.text()).toContain('gro');
    const question = '{"user": 10, "columns": ["_id"], "from": "projects", "where": {"instrument_id": 54}}';
    expect((await get('accel', '/policy/uploader', '-d', question)).text()).toBe('[{"_id": "1234a"}]');
    expect((await get('accel', '/policy/status/transactions/by_id/7')).json()).toMatchObject({ _id: 7 });
  });

  it('shows of the catalog what people need, and no way to write', async () => {
    const metadata = JSON.stringify(transactionEntries(99));
    expect((await get('accel', '/policy/ingest', '-X', 'PUT', '-d', metadata)).status).toBe(403);
    for (const path of ['/policy/getid?range=1&mode=file', '/policy/files', '/getid', '/move', '/1', '/']) {
      expect((await get('accel', path)).status).toBe(404);
    }
  });

  it('hands an upload on while it comes, and a cart of it back', async () => {
    const content = Buffer.alloc(24 * 2 ** 20, 'through nginx ');
    const bundle = makeBundle(home, [{ path: 'a/b.bin', content }], { metadata: 'last' });
    const bytes = readFileSync(bundle.file);
    const { url } = front('accel_root');
    // no length: curl sends it chunked
    const words = as('accel_root', '-sSf', '-X', 'POST', '-T', '-', `${url}/upload`);
    const client = spawn('curl', words, { stdio: ['pipe', 'pipe', 'inherit'] });
    let told = '';
    client.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
    client.stdin.write(bytes.subarray(0, bytes.length / 2));
    // the service has begun although half is still to come: nginx does not keep it back
    await until('the job to be there', async () => (await fetch(`${daemon.urls.ingest}/get_state?job_id=1`)).ok);
    client.stdin.end(bytes.subarray(bytes.length / 2));
    expect(await once(client, 'close')).toEqual([0, null]);
    const job = JSON.parse(told) as JobState;
    expect(await jobEnd(daemon, job.job_id)).toMatchObject({ state: 'OK', exception: '' });
    expect((await get('accel_root', `/get_state?job_id=${job.job_id}`)).json()).toMatchObject({ state: 'OK' });

    const sum = bundle.sums.get('a/b.bin') ?? '';
    const [found] = (await (await fetch(`${daemon.urls.catalog}/files?hashsum=${sum}`)).json()) as { _id: number }[];
    const list = { fileids: [{ id: found?._id, path: 'a/b.bin', hashtype: 'sha1', hashsum: sum }] };
    const made = await get('accel_root', '/carts/mine', '-d', JSON.stringify(list));
    expect([made.status, made.text()]).toEqual([201, '{"message": "Cart Processing has begun"}']);
    await until('the cart', async () => {
      const state = await get('accel_root', '/carts/mine', '--head');
      return state.header('X-Pacifica-Status') === 'ready';
    });
    const tar = join(home, 'mine.tar');
    await run('curl', ['-sSf', ...as('accel_root'), '-o', tar, `${url}/carts/mine?filename=mine.tar`]);
    expect(await run('tar', ['tf', tar])).toContain('mine/a/b.bin');
  });
});
