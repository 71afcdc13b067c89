import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Jobs, openJobQueue } from '../../src/jobs/jobs.js';
import { Database } from '../../src/storage/database/database.js';
import type { JobPlace } from '../contract/job-backend.js';
import { pacifica } from '../support/cli.js';
import { sqlitePlace } from '../support/job-places.js';
import { silent } from '../support/log.js';
import { startPostgres } from '../support/postgres.js';

// what `[jobs] url` says reaches the driver whole, and what is wrong with it is told without its password

const SECRET = 'hunter22';
/** characters that mean something in a URL, one of them in its escaped form */
const ODD = { user: 'jo@b:s/%41', password: 'a/b?c#d%e f@g:h%41&' };
const ODD_URL = `${encodeURIComponent(ODD.user)}:${encodeURIComponent(ODD.password)}`;

const postgres = await startPostgres();
let place: JobPlace;
beforeAll(async () => {
  place = await sqlitePlace();
});
afterAll(async () => {
  await place.close();
  await postgres?.stop();
});

function queue(url: string): Promise<Jobs> {
  const options = { handlers: new Map(), lockLifetimeMs: 1000, concurrency: 1, work: false, log: silent };
  return openJobQueue({ ...place, ...options, url });
}

/** @returns what is thrown, and all that is told meanwhile */
async function refusal(url: string): Promise<{ error: unknown; told: string }> {
  const warnings: string[] = [];
  const hear = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', hear);
  const error: unknown = await queue(url).catch((thrown: unknown) => thrown);
  // warnings come a tick later
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', hear);
  return { error, told: `${error instanceof Error ? (error.stack ?? '') : ''}${warnings.join()}` };
}

it.each([
  `postgres://me:${SECRET}@127.0.0.1:port/x`,
  `mongodb://me:${SECRET}@one,two:99999/x`,
  `mongodb://me:${SECRET}@127.0.0.1:1/x?replicaSet=a&noSuchOption=1`,
])('that can not be read is refused as such: %s', async (url) => {
  const { error, told } = await refusal(url);
  expect(error).toMatchObject({ code: 'invalid', hint: expect.stringContaining('[jobs] url') as string });
  expect(told).not.toContain(SECRET);
});

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  it('takes a user and a password of any characters', async () => {
    const url = (await postgres?.createDatabase()) ?? '';
    const admin = await Database.open(url);
    await admin.sequelize.query(`CREATE ROLE "${ODD.user}" SUPERUSER LOGIN PASSWORD '${ODD.password}'`);
    await admin.close();
    const jobs = await queue(url.replace('pacifica:secret', ODD_URL));
    await jobs.add('cart', '1');
    expect((await jobs.admin.list({})).total).toBe(1);
    await jobs.stop();
    // one of them is enough to be refused
    const { error, told } = await refusal(url.replace('pacifica:secret', `${ODD_URL}x`));
    expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining('password auth') as string });
    for (const form of [ODD.password, encodeURIComponent(ODD.password)]) expect(told).not.toContain(form);
  });

  it('with a wrong password is told in one line, by the daemon, too', async () => {
    const right = (await postgres?.createDatabase()) ?? '';
    const jobs = await queue(right);
    await jobs.stop();
    const wrong = right.replace(':secret@', `:${SECRET}@`);
    const { error, told } = await refusal(wrong);
    expect(error).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('password authentication failed for user "pacifica"') as string,
    });
    expect(told).not.toContain(SECRET);
    const env = {
      PACIFICA_JOBS_URL: wrong,
      PACIFICA_DATABASE_CONNECT_ATTEMPTS: '2',
      PACIFICA_DATABASE_CONNECT_WAIT: '0',
    };
    const { code, stderr } = await pacifica(['worker', '--data-dir', `${place.database.file}.data`], { env });
    expect(code).toBe(5);
    expect(stderr.match(/^Error: .*password authentication failed/gm)).toHaveLength(1);
    expect(stderr).not.toContain(SECRET);
  });
});

describe('MongoDB', () => {
  /** A server that hears what the driver says first, and hangs up. */
  async function listener(): Promise<{ port: number; heard: Promise<string>; close: () => void }> {
    const server = createServer();
    const heard = new Promise<string>((resolve) =>
      server.on('connection', (socket) => {
        socket.on('error', () => undefined);
        socket.once('data', (data) => {
          resolve(data.toString('latin1'));
          socket.destroy();
        });
      }),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return { port: address.port, heard, close: () => server.close() };
  }

  it('is asked on every host of the URL, with its options', async () => {
    const hosts = [await listener(), await listener(), await listener()];
    const list = hosts.map(({ port }) => `127.0.0.1:${port}`).join(',');
    const options = 'replicaSet=rs0&authSource=site&compressors=zlib&serverSelectionTimeoutMS=1000';
    const { error, told } = await refusal(`mongodb://me:${SECRET}@${list}/x?${options}`);
    expect(error).toMatchObject({ code: 'unavailable' });
    expect(told).not.toContain(SECRET);
    for (const { heard, close } of hosts) {
      const hello = await heard;
      expect(hello).toContain('zlib');
      expect(hello).toContain('pacifica-jobs');
      expect(hello).not.toContain(SECRET);
      close();
    }
  });

  it('is told the user that the URL says, whatever its characters', async () => {
    const { port, heard, close } = await listener();
    const { error, told } = await refusal(
      `mongodb://${ODD_URL}@127.0.0.1:${port}/x?loadBalanced=true&serverSelectionTimeoutMS=500`,
    );
    expect(error).toMatchObject({ code: 'unavailable' });
    for (const form of [ODD.password, encodeURIComponent(ODD.password)]) expect(told).not.toContain(form);
    // the first message of SCRAM (RFC 5802): it has the name, and nothing of the password
    const hello = await heard;
    expect(hello).toContain(`n=${ODD.user},r=`);
    expect(hello).not.toContain(ODD.password);
    close();
  });

  it('is looked up by mongodb+srv://', async () => {
    // a name that nobody has (RFC 6761)
    const { error, told } = await refusal(`mongodb+srv://me:${SECRET}@cluster.example.invalid/x`);
    expect(error).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/querySrv \w+ _mongodb\._tcp\.cluster\.example\.invalid/) as string,
    });
    expect(told).not.toContain(SECRET);
  });
});
