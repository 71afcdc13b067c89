import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eachLimit } from '../../src/lib/each-limit.js';
import { type ArchiveService, startArchive } from '../support/archive-service.js';
import { curl } from '../support/curl.js';
import { Random } from '../support/random.js';
import { filesBelow } from '../support/tree.js';
import { until } from '../support/until.js';

const REQUESTS = Number(process.env.PACIFICA_TEST_REQUESTS ?? 10_000);
/** the same requests each time, so that what they reach is the same too; another seed is for whoever looks for more */
const SEED = Number(process.env.PACIFICA_TEST_SEED ?? 1);

/** Statuses from 500 on that say what is so, and are no fault of ours. */
const HONEST = [501, 503, 507];

/** a file that stays as it is: only what reads is asked of it, so an answer does not hang on who was served first */
const KEPT = 'kept';
const READING = ['GET', 'GET', 'GET', 'HEAD', 'OPTIONS', 'FOO'];

const METHODS = [
  'GET',
  'HEAD',
  'PUT',
  'POST',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'FOO',
  'get',
  '',
  'G\u0000T',
];
const IDS = [
  '1',
  '2',
  '0',
  '99999999999999999999999999999999',
  '007',
  '-1',
  '.',
  '..',
  '%2e%2e',
  '..%2f..%2fetc%2fpasswd',
  '..%252f..%252fetc%252fpasswd',
  '%00',
  '%zz',
  '%',
  '%ff%fe',
  '.pacifica',
  'a b',
  'x'.repeat(300),
  '1/2',
  '//1',
  '*',
  '1?byte_range=',
  '1?byte_range=5-1&byte_range=2',
  '1?byte_range=99999999999999999999-1',
  '1?byte_range=0-99999999999999999999',
  '1?%',
  '\u00e9',
];
const HEADERS = [
  'Range: bytes=0-0',
  'Range: bytes=0-1,3-3',
  'Range: bytes=-2',
  'Range: bytes=-',
  'Range: bytes=99999999999999999999999-',
  `Range: bytes=${Array.from({ length: 400 }, (_, index) => `${index}-${index}`).join(',')}`,
  'If-Range: "x"',
  'If-Range: nonsense',
  'If-Match: *',
  'If-Match: "x", "y',
  'If-None-Match: *',
  'If-None-Match: W/"',
  'If-Modified-Since: yesterday',
  'If-Unmodified-Since: Sun, 99 Foo 0000 99:99:99 GMT',
  'Last-Modified: 0',
  'Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT',
  'Last-Modified: Sun, 06 Nov 9999 08:49:37 GMT',
  'Content-Digest: sha-256=:AAAA:',
  'Content-Digest: ,,,===:',
  'Content-MD5: ====',
  'Digest: adler32=zzz',
  'Want-Digest: adler32;q=9e9, md5;q=',
  'Want-Repr-Digest: sha-256=-1',
  'Content-Range: bytes 0-1/2',
  'Content-Encoding: br',
  'Content-Type: \u0001',
  'Content-Length: 5',
  'Content-Length: -5',
  'Content-Length: 99999999999999999999',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Expect: 100-continue',
  'Expect: 200-maybe',
  'Upgrade: websocket',
  'Host: ',
  'no colon',
  ': no name',
  `X-Long: ${'y'.repeat(20_000)}`,
];
const BODIES = [
  '',
  'hello',
  '{"path": "/etc/passwd"}',
  '{"path": 1}',
  '{',
  '5\r\nhello\r\n0\r\n\r\n',
  'zz\r\n',
  '0\r\n\r\n',
  '\u0000'.repeat(100),
];

function request(random: Random): string {
  if (random.below(20) === 0) {
    return Array.from({ length: random.below(200) }, () => String.fromCharCode(random.below(256))).join('');
  }
  const reading = random.below(4) === 0;
  const target = reading ? `${random.pick(READING)} /${KEPT}` : `${random.pick(METHODS)} /${random.pick(IDS)}`;
  const lines = [`${target} HTTP/${random.pick(['1.1', '1.1', '1.1', '1.0', '9.9'])}`];
  if (random.below(10) > 0) lines.push('Host: x');
  if (random.below(10) > 0) lines.push('Connection: close');
  for (let count = random.below(4); count > 0; count -= 1) lines.push(random.pick(HEADERS));
  if (random.below(4) === 0) lines.push(random.pick(HEADERS.filter((header) => header.startsWith('Range'))));
  const body = random.pick(BODIES);
  if (random.below(2) === 0) lines.push(`Content-Length: ${body.length}`);
  const end = random.below(15) === 0 ? '' : '\r\n\r\n';
  return lines.join('\r\n') + end + body;
}

/** ms without a byte after which a connection that nobody ends is given up */
const SILENCE = 250;

/** Sends it over a connection of its own, and waits for the answer or cuts it. @returns all that came back */
async function send(port: number, text: string, cut: boolean): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      if (cut) socket.write(text, 'latin1', () => socket.destroy());
      else socket.write(text, 'latin1');
    });
    socket.setTimeout(SILENCE, () => socket.destroy());
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    // a connection that is reset is an answer too
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
  });
}

function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

let service: ArchiveService;

beforeEach(async () => {
  service = await startArchive({ checksum: 'sha256' });
});

afterEach(() => service.close());

test(`${REQUESTS} malformed requests (seed ${SEED}): no fault of ours, no crash, no leak`, async () => {
  const { port } = new URL(service.url);
  await curl(['-X', 'PUT', '--data-binary', 'to be kept', `${service.url}/${KEPT}`]);
  const random = new Random(SEED);
  const requests = Array.from({ length: REQUESTS }, () => ({ text: request(random), cut: random.below(10) === 0 }));
  // the first ones open what stays open
  await eachLimit(requests.slice(0, 200), 20, async ({ text, cut }) => {
    await send(Number(port), text, cut);
  });
  const before = openFiles();
  const statuses = new Map<number, number>();
  await eachLimit(requests, 20, async ({ text, cut }) => {
    const answer = await send(Number(port), text, cut);
    for (const [, digits] of answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) {
      const status = Number(digits);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status >= 500 && !HONEST.includes(status)) throw new Error(`${status} to ${JSON.stringify(text)}: ${answer}`);
    }
    if (answer.includes(service.folder) && !answer.includes('X-Pacifica-File')) {
      throw new Error(`a path of the server in the answer to ${JSON.stringify(text)}: ${answer}`);
    }
  });
  // all kinds of answers came, or the requests are not worth much
  for (const status of [200, 201, 204, 206, 400, 404, 405, 412, 416]) expect([...statuses.keys()]).toContain(status);
  await until('what was cut is tidied', async () => {
    const left = await filesBelow(join(service.root, '.pacifica'));
    return left.length === 0;
  });
  await until('what was opened is closed', () => openFiles() <= before + 5);
  expect((await curl([`${service.url}/`])).status).toBe(200);
  expect((await curl([`${service.url}/${KEPT}`])).text()).toBe('to be kept');
  // whatever was put, nothing is outside of the archive
  expect((await filesBelow(service.folder)).filter((path) => !/^(archive\/|test\.db)/.test(path))).toEqual([]);
}, 240_000);
