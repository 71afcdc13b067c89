import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cliCommand, cliEnv, type CliOptions, type CliResult, pacifica } from '../support/cli.js';
import { startServer, type TestServer } from '../support/server.js';
import { until } from '../support/until.js';

// What commands do when the network, the service or the file fails: the services here are made to fail.

type Handler = (req: IncomingMessage, res: ServerResponse) => void;
interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
}

const MIB = 1024 * 1024;
const data = Buffer.from(Array.from({ length: 3 * MIB }, (_, index) => (index * 7 + (index >> 8)) % 256));

let dir: string;
let server: TestServer;
let handle: Handler;
let seen: Seen[];

/** The one that takes half a minute, beside all the others. */
let unreachable: Promise<CliResult & { url: string; ms: number }>;

beforeAll(async () => {
  const gone = await startServer(() => undefined);
  await gone.close();
  const started = Date.now();
  unreachable = pacifica(['cart', 'status', 'x', '--cart-url', gone.url]).then((result) => ({
    ...result,
    url: gone.url,
    ms: Date.now() - started,
  }));
});
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-faults-'));
  seen = [];
  server = await startServer((req, res) => {
    seen.push({ method: req.method ?? '', url: req.url ?? '', headers: req.headers });
    handle(req, res);
  });
});
afterEach(async () => {
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

function run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const names = ['ARCHIVE', 'CART', 'INGEST', 'PROXY'];
  const env = Object.fromEntries(names.map((name) => [`PACIFICA_${name}_URL`, server.url]));
  return pacifica(args, { cwd: dir, ...options, env: { ...env, ...options.env } });
}

function json(res: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify(body));
}

/** Sends `data` from where the request asks, and cuts the connection after `length` bytes. */
function sendPart(req: IncomingMessage, res: ServerResponse, length: number, etag?: string): void {
  const start = Number(/^bytes=([0-9]+)-$/.exec(req.headers.range ?? '')?.[1] ?? 0);
  const ranged = start > 0 && req.headers['if-range'] === etag;
  const from = ranged ? start : 0;
  res.writeHead(ranged ? 206 : 200, {
    'content-length': data.length - from,
    ...(etag !== undefined && { etag }),
    ...(ranged && { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` }),
  });
  const part = data.subarray(from, from + length);
  if (from + length >= data.length) res.end(part);
  else res.write(part, () => setTimeout(() => res.destroy(), 20));
}

describe('a download whose connection breaks', () => {
  it('is taken up again where it broke', async () => {
    handle = (req, res) => sendPart(req, res, MIB, '"one"');
    const { code, stderr } = await run(['cart', 'get', 'x', '-o', 'x.tar']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(readFileSync(join(dir, 'x.tar')).equals(data)).toBe(true);
    expect(readdirSync(dir)).toEqual(['x.tar']);
    expect(seen.map(({ headers }) => [headers.range, headers['if-range']])).toEqual([
      [undefined, undefined],
      [`bytes=${MIB}-`, '"one"'],
      [`bytes=${2 * MIB}-`, '"one"'],
    ]);
  });

  it('goes on in a pipe too, without a byte twice', async () => {
    handle = (req, res) => sendPart(req, res, MIB, '"one"');
    const { code, stdout } = await run(['archive', 'get', '5']);
    expect(code).toBe(0);
    expect(stdout.equals(data)).toBe(true);
  });

  it('goes on with a service that has no ranges', async () => {
    handle = (_req, res) => {
      res.writeHead(200, { 'content-length': data.length, etag: '"one"' });
      if (seen.length > 1) res.end(data);
      else res.write(data.subarray(0, MIB), () => setTimeout(() => res.destroy(), 20));
    };
    const { code } = await run(['archive', 'get', '5', '-o', 'file']);
    expect(code).toBe(0);
    expect(readFileSync(join(dir, 'file')).equals(data)).toBe(true);
  });

  it('fails when the thing changed meanwhile, and leaves what was there before', async () => {
    writeFileSync(join(dir, 'file'), 'old');
    handle = (req, res) => sendPart(req, res, MIB, `"${seen.length}"`);
    const { code, stderr } = await run(['archive', 'get', '5', '-o', 'file']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'Error: it changed while it was fetched\n Hint: fetch it again\n',
    });
    expect(readdirSync(dir)).toEqual(['file']);
    expect(readFileSync(join(dir, 'file'), 'utf8')).toBe('old');
  });

  it('fails with "try later", and leaves nothing, where the service has no ETag', async () => {
    handle = (req, res) => sendPart(req, res, MIB);
    const { code, stderr } = await run(['archive', 'get', '5', '-o', 'file']);
    expect(code).toBe(5);
    expect(stderr).toContain('the connection was cut');
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('Ctrl-C', () => {
  /** Starts a download, waits until `length` bytes are on their way into a file, and interrupts it. */
  async function interrupted(length: number, args = ['cart', 'get', 'x', '-o', 'x.tar']): Promise<CliResult> {
    handle = (_req, res) => {
      res.writeHead(200, { 'content-length': data.length, etag: '"one"' });
      res.write(data.subarray(0, length));
    };
    return run(args, {
      onStart: (child) => {
        void until('the download', () => readdirSync(dir).some((name) => name.endsWith('.tmp'))).then(() =>
          // what came before the file was there is read by now
          setTimeout(() => child.kill('SIGINT'), 500),
        );
      },
    });
  }

  it('keeps what came, says so, and the same command goes on', async () => {
    const { code, stderr } = await interrupted(2 * MIB);
    expect(code).toBe(130);
    expect(stderr).toBe('Error: interrupted\n Hint: 2.0 MiB are kept: the same command goes on from there\n');
    expect(readdirSync(dir)).toEqual([expect.stringMatching(/^\.x\.tar\.[0-9a-f]{12}\.part$/)]);

    seen = [];
    handle = (req, res) => sendPart(req, res, data.length, '"one"');
    expect((await run(['cart', 'get', 'x', '-o', 'x.tar'])).code).toBe(0);
    expect(seen.map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${2 * MIB}-`]);
    expect(readdirSync(dir)).toEqual(['x.tar']);
    expect(readFileSync(join(dir, 'x.tar')).equals(data)).toBe(true);
  });

  it('checks the hash of the whole, of what was kept too', async () => {
    const args = (hash: string): string[] => ['proxy', 'get', 'sha1', hash, '-o', 'x.tar'];
    const hash = createHash('sha1').update(data).digest('hex');
    await interrupted(2 * MIB, args(hash));
    handle = (req, res) => sendPart(req, res, data.length, '"one"');
    expect((await run(args(hash))).code).toBe(0);
    expect(readFileSync(join(dir, 'x.tar')).equals(data)).toBe(true);

    await interrupted(2 * MIB, args(hash));
    const [part = ''] = readdirSync(dir).filter((name) => name.endsWith('.part'));
    writeFileSync(join(dir, part), Buffer.alloc(2 * MIB));
    handle = (req, res) => sendPart(req, res, data.length, '"one"');
    expect((await run(args(hash))).code).toBe(6);
    expect(readdirSync(dir)).toEqual(['x.tar']);
    expect(readFileSync(join(dir, 'x.tar')).equals(data)).toBe(true);
  });

  it('does not go on with a part of something else', async () => {
    await interrupted(2 * MIB);
    handle = (req, res) => sendPart(req, res, data.length, '"two"');
    expect((await run(['cart', 'get', 'x', '-o', 'x.tar'])).code).toBe(0);
    expect(readFileSync(join(dir, 'x.tar')).equals(data)).toBe(true);
  });

  it('leaves nothing of what is soon fetched again', async () => {
    const { code, stderr } = await interrupted(1000);
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'Error: interrupted\n' });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('stops waiting for a job', async () => {
    handle = (_req, res) =>
      json(res, 200, { job_id: 1, state: 'OK', task: 'open tar', task_percent: '0.0', exception: '' });
    const { code, stderr } = await run(['ingest', 'state', '1', '--watch'], {
      onStart: (child) => void until('a question', () => seen.length > 1).then(() => child.kill('SIGINT')),
    });
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'Error: interrupted\n' });
  });
});

describe('a hash that does not match', () => {
  const bad = createHash('sha1').update('other').digest('hex');

  it.each([
    ['proxy get', ['proxy', 'get', 'sha1', bad]],
    ['archive get, by Repr-Digest', ['archive', 'get', '5']],
  ])('%s: nothing is left, what was there before stays, 6', async (_, args) => {
    handle = (_req, res) => {
      const digest = createHash('sha256').update('other').digest('base64');
      res.writeHead(200, { 'content-length': data.length, 'repr-digest': `sha-256=:${digest}:`, etag: '"x"' });
      res.end(data);
    };
    writeFileSync(join(dir, 'file'), 'old');
    const { code, stderr } = await run([...args, '--output', 'file']);
    expect(code).toBe(6);
    expect(stderr).toMatch(/^Error: file .* came with sha(1|256) [0-9a-f]+, it should be [0-9a-f]+\n$/);
    expect(readdirSync(dir)).toEqual(['file']);
    expect(readFileSync(join(dir, 'file'), 'utf8')).toBe('old');
  });
});

describe('what services answer', () => {
  it.each([
    [400, ['archive', 'stage', '5'], 2],
    [403, ['archive', 'delete', '5', '--yes'], 7],
    [404, ['archive', 'get', '5'], 3],
    [409, ['archive', 'put', 'f', '--id', '5'], 7],
    [413, ['archive', 'put', 'f', '--id', '5'], 7],
    [507, ['archive', 'put', 'f', '--id', '5'], 1],
    [202, ['cart', 'get', 'x'], 4],
    [404, ['cart', 'delete', 'x'], 3],
    [404, ['proxy', 'get', 'sha1', '0'.repeat(40)], 3],
  ])('%i to %j ends with %i', async (status, args, exit) => {
    writeFileSync(join(dir, 'f'), 'f');
    handle = (req, res) => {
      req.resume();
      req.on('end', () => json(res, status, { status: '', message: 'the reason \u001b[31m', traceback: 'at x.py' }));
    };
    const { code, stderr } = await run(args);
    expect({ code, stderr }).toMatchObject({ code: exit });
    expect(stderr).toMatch(/^Error: /);
    // nobody's terminal obeys a server, nobody sees a server's stack
    expect(stderr).not.toContain('\u001b');
    expect(stderr).not.toContain('x.py');
  });

  it.each([
    ['a service that is busy for longer than we wait', 503, { 'retry-after': '60' }],
    ['a gateway without a service', 502, { 'retry-after': '60' }],
  ])('%s ends with 5 at once', async (_, status, headers) => {
    handle = (_req, res) => json(res, status, { message: 'busy' }, headers);
    const started = Date.now();
    expect((await run(['cart', 'status', 'x'])).code).toBe(5);
    expect(Date.now() - started).toBeLessThan(10_000);
  });

  it('does not wait for a cart that is not ready', async () => {
    handle = (_req, res) => json(res, 202, { message: 'The cart is not ready for download.' });
    const { code, stderr } = await run(['cart', 'get', 'x', '-o', 'x.tar']);
    expect({ code, stderr }).toEqual({
      code: 4,
      stderr: 'Error: cart x is not ready yet\n Hint: see how far it is with "pacifica cart status x"\n',
    });
    expect(seen).toHaveLength(1);
  });

  it('goes on when a service is busy for a moment', async () => {
    writeFileSync(join(dir, 'f'), 'content');
    const bodies: string[] = [];
    handle = (req, res) => {
      const parts: Buffer[] = [];
      req.on('data', (part: Buffer) => parts.push(part));
      req.on('end', () => {
        bodies.push(Buffer.concat(parts).toString());
        if (bodies.length === 1) json(res, 503, { message: 'busy' }, { 'retry-after': '0' });
        else json(res, 201, { message: 'File added to archive', total_bytes: '7' });
      });
    };
    expect((await run(['archive', 'put', 'f', '--id', '5'])).code).toBe(0);
    expect(bodies).toEqual(['content', 'content']);
    const digest = createHash('sha256').update('content').digest('base64');
    expect(seen[1]?.headers).toMatchObject({ 'content-length': '7', 'content-digest': `sha-256=:${digest}:` });
    expect(seen[1]?.headers['last-modified']).toMatch(/ GMT$/);
  });

  it('asks again while it waits, when answers get lost', async () => {
    const state = { job_id: 1, state: 'OK', task: 'ingest metadata', exception: '' };
    handle = (_req, res) => {
      if (seen.length % 2 === 1) res.destroy();
      else json(res, 200, { ...state, task_percent: seen.length > 4 ? '100.0' : '50.0' });
    };
    const { code, stderr } = await run(['ingest', 'state', '1', '--watch', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(seen).toHaveLength(6);
  });

  it.each([
    ['Policy Validation', 'no such project', 7],
    [
      'ingest files',
      'Traceback (most recent call last):\n  File "x.py"\nValueError: File hash does not match provided hash',
      6,
    ],
    ['open tar', 'no tar', 1],
  ])('a job that failed in "%s" is told in one line', async (task, exception, exit) => {
    handle = (_req, res) => json(res, 200, { job_id: 9, state: 'FAILED', task, task_percent: '0.0', exception });
    const { code, stderr } = await run(['ingest', 'state', '9', '--watch']);
    expect(code).toBe(exit);
    expect(stderr).toBe(`Error: job 9 failed in "${task}": ${exception.split('\n').at(-1) ?? ''}\n`);
    expect((await run(['ingest', 'state', '9'])).code).toBe(0);
  });

  it('tells the first of many reasons, and where the others are', async () => {
    const exception = 'a: the metadata says sha1 1, the bundle has 2\nb\u001b: not in the bundle';
    handle = (_req, res) =>
      json(res, 200, { job_id: 9, state: 'FAILED', task: 'ingest files', task_percent: '0', exception });
    const { code, stderr } = await run(['ingest', 'state', '9', '--watch']);
    expect({ code, stderr }).toEqual({
      code: 6,
      stderr: [
        'Error: job 9 failed in "ingest files": a: the metadata says sha1 1, the bundle has 2',
        ' Hint: "pacifica ingest state 9" shows 1 more\n',
      ].join('\n'),
    });
    expect((await run(['ingest', 'state', '9'])).text()).toMatch(
      /\nException: a: .* has 2\n {11}b\\x1b: not in the bundle\n$/,
    );
  });

  it('tells causes and the exchange with --debug, secrets left out', async () => {
    handle = (_req, res) => json(res, 404, { message: 'no' }, { 'set-cookie': 'secret=1' });
    const { stderr } = await run(['cart', 'status', 'x', '--debug']);
    expect(stderr).toContain('> HEAD /x HTTP/1.1\n');
    expect(stderr).toContain('< HTTP/1.1 404 Not Found\n');
    expect(stderr).toContain('set-cookie: ***');
    expect(stderr).not.toContain('secret=1');
    expect(stderr).toMatch(/^ {4}at /m);
  });
});

describe('ingest upload', () => {
  const facts = ['-p', '1', '-i', '1', '-s', '1'];
  const started = { job_id: 1, state: 'OK', task: 'UPLOADING', task_percent: '0.0', exception: '' };

  it('cuts the request when a file changes while it is sent', async () => {
    const file = join(dir, 'growing');
    writeFileSync(file, Buffer.alloc(32 * MIB));
    let got = 0;
    let whole = false;
    handle = (req, res) => {
      if (req.method === 'GET') return json(res, 200, {});
      req.once('data', () => appendFileSync(file, 'more'));
      req.on('data', (part: Buffer) => (got += part.length));
      req.on('end', () => (whole = true));
      req.on('error', () => undefined);
    };
    const { code, stderr } = await run(['ingest', 'upload', 'growing', ...facts]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Error: growing changed while it was sent\n Hint: nothing was stored; .*\n$/);
    await until('the cut', () => got > 0);
    expect(whole).toBe(false);
  });

  it('is cut by Ctrl-C, so that the service has half a bundle at most', async () => {
    writeFileSync(join(dir, 'big'), Buffer.alloc(64 * MIB));
    let whole = false;
    let cut = false;
    let goOn = (): void => undefined;
    handle = (req, res) => {
      if (req.method === 'GET') return json(res, 200, {});
      // reads a little, and the rest when the command is gone
      req.once('data', () => req.pause());
      goOn = () => req.resume();
      req.on('end', () => (whole = true));
      req.on('close', () => (cut = true));
      req.on('error', () => undefined);
    };
    const { code, stderr } = await run(['ingest', 'upload', 'big', ...facts], {
      onStart: (child) => void until('the upload', () => seen.length > 1).then(() => child.kill('SIGINT')),
    });
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'Error: interrupted\n' });
    goOn();
    await until('the cut', () => cut);
    expect(whole).toBe(false);
  });

  it('tells why a service refuses a bundle before it has read it', async () => {
    writeFileSync(join(dir, 'big'), Buffer.alloc(64 * MIB));
    handle = (req, res) => {
      if (req.method === 'GET') return json(res, 200, {});
      req.once('data', () => {
        json(res, 413, { message: 'bundles of more than 1 MiB are not taken here' });
        req.resume();
      });
    };
    const { code, stderr } = await run(['ingest', 'upload', 'big', ...facts]);
    expect({ code, stderr }).toEqual({ code: 7, stderr: 'Error: bundles of more than 1 MiB are not taken here\n' });
  });

  it('is not sent twice, and says so when the answer got lost', async () => {
    writeFileSync(join(dir, 'f'), 'f');
    handle = (req, res) => {
      if (req.method === 'GET') return json(res, 200, {});
      req.resume();
      req.on('end', () => res.destroy());
    };
    const { code, stderr } = await run(['ingest', 'upload', 'f', ...facts]);
    expect(code).toBe(5);
    expect(stderr).toMatch(/after the whole bundle was sent\n Hint: send it again: our service takes it once/);
    expect(seen.filter(({ method }) => method === 'POST')).toHaveLength(1);
  });

  it('sends exactly as much as it announced, and names links that it leaves out', async () => {
    writeFileSync(join(dir, 'f'), 'f');
    execFile('ln', ['-s', 'f', join(dir, 'link')]);
    await until('the link', () => readdirSync(dir).includes('link'));
    let got = 0;
    handle = (req, res) => {
      if (req.method === 'GET') return json(res, 200, {});
      req.on('data', (part: Buffer) => (got += part.length));
      req.on('end', () => json(res, 200, started));
    };
    const { code, stdout, stderr } = await run(['ingest', 'upload', '.', ...facts]);
    expect({ code, out: stdout.toString(), stderr }).toEqual({
      code: 0,
      out: '1\n',
      stderr: 'Warning: link is a symbolic link, left out\n',
    });
    expect(String(got)).toBe(seen.find(({ method }) => method === 'POST')?.headers['content-length']);
  });
});

describe('pipes', () => {
  it('ends quietly when the reader has seen enough', async () => {
    handle = (req, res) => sendPart(req, res, data.length, '"one"');
    const words = [...cliCommand, 'archive', 'get', '5'].map((word) => `'${word}'`).join(' ');
    const shell = execFile('bash', ['-c', `${words} | head -c 5 | wc -c; echo "\${PIPESTATUS[0]}"`], {
      env: cliEnv({ PACIFICA_ARCHIVE_URL: server.url }),
    });
    let stdout = '';
    let stderr = '';
    shell.stdout?.on('data', (chunk: string) => (stdout += chunk));
    shell.stderr?.on('data', (chunk: string) => (stderr += chunk));
    await once(shell, 'close');
    expect({ stdout, stderr }).toEqual({ stdout: '5\n0\n', stderr: '' });
  });
});

describe('the command line', () => {
  it.each([
    [['cart', 'status'], /^Error: missing argument UID\n Hint: see pacifica cart status --help\n$/],
    [['ingest', 'job', '--job-id', '1'], /^Error: missing flag --state\n Hint: see pacifica ingest job --help\n$/],
    [['cart', 'status', 'x', '--urll', 'y'], /^Error: .*--urll.*\n Hint: see pacifica cart status --help\n$/],
    [['cart', 'status', 'x', '--cart-ulr', 'y'], /^Error: .*--cart-ulr, did you mean --cart-url\?\n/],
    [['archive', 'pt', 'f', '--id', '1'], /^Error: .*"archive pt"\n Hint: did you mean "pacifica archive put"\?\n$/],
    [['archvie', 'put'], /^Error: .*"archvie"\n Hint: did you mean "pacifica archive put"\?\n$/],
    [['frobnicate'], /^Error: .*"frobnicate"\n Hint: see pacifica --help\n$/],
    [['archive', 'get', '5', '--jobs', '0'], /^Error: --jobs: expected an integer .* received: 0\n Hint: see .*\n$/],
    [['archive', 'stage', '5', '--timeout', '3'], /^Error: --timeout needs --wait\n/],
    [['cart', 'get', 'x', '-o', 'a', '-x', 'b'], /^Error: --output and --extract do not go together\n/],
    [['cart', 'create'], /^Error: give one of --file, --transaction\n/],
    [['jobs', 'list', '--state', 'x'], /^Error: --state can not be x, it is one of .*failed.*\n/],
    [['archive', 'nope'], /^Error: .*"archive nope"\n Hint: see pacifica archive --help\n$/],
    [['jobs', 'list', 'x'], /^Error: unexpected argument: x\n Hint: see pacifica jobs list --help\n$/],
    [
      ['doctor', 'http://x:80', 'y'],
      /^Error: unexpected argument: http:\/\/x:80 y\n Hint: see pacifica doctor --help\n$/,
    ],
    [['--json', 'jobs', 'list'], /^Error: --json stands before the command\n Hint: .* COMMAND --json\n$/],
    [['--verison'], /^Error: there is no flag --verison\n Hint: did you mean "pacifica --version"\?\n$/],
    [['help', 'cart', 'get'], /^Error: there is no command "help"\n Hint: see pacifica cart get --help\n$/],
    [['cart', 'status', 'x', '--config', '/nope.ini'], /^Error: there is no configuration file \/nope.ini\n/],
    [['archive', 'move', '5', '/x', 'y'], /^Error: unexpected argument: y\n Hint: .*\n$/],
    [['cart', 'status', 'x', '--cart-url', 'ftp://x'], /^Error: --cart-url: "ftp:\/\/x" is not .*HTTP URL.*\n/],
    [['cart', 'status', 'x', '--config', 'none.ini'], /none\.ini/],
  ])('%j is told in two lines at most', async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
    expect(stdout).toHaveLength(0);
    expect(code).toBe(args.includes('--config') ? 3 : 2);
  });

  it('tells errors of itself as JSON too', async () => {
    const { code, stderr } = await run(['cart', 'status', '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'usage', message: 'missing argument UID', hint: 'see pacifica cart status --help', exit: 2 },
    });
  });
});

it('tries for 30 s to reach a service, then ends with 5', async () => {
  const { url, ms, code, stderr } = await unreachable;
  expect(ms).toBeGreaterThan(20_000);
  expect(ms).toBeLessThan(40_000);
  expect({ code, stderr }).toEqual({
    code: 5,
    stderr: `Error: can not reach the cart service at ${url}: connection refused\n Hint: check that it runs, and its URL in the configuration\n`,
  });
});
