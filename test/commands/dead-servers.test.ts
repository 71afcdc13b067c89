import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliResult, pacifica } from '../support/cli.js';
import { onTerminal } from '../support/terminal.js';

// Admin commands beside a database or a queue that is away, or that takes connections and says nothing.

const dir = mkdtempSync(join(tmpdir(), 'pacifica-dead-'));
const silentOnes = new Set<Socket>();
let silent: Server;
/** nobody listens there (IANA: tcpmux) */
const DEAD = '127.0.0.1:1';
let mute: string;

interface Asked {
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}
interface Answered extends CliResult {
  readonly ms: number;
}
type Kind = 'postgres' | 'mongodb';
type Setting = 'DATABASE' | 'JOBS';

function asked(kind: Kind, setting: Setting, where: string, command: string): Asked {
  return {
    args: [...command.split(' '), '--data-dir', dir],
    env: { [`PACIFICA_${setting}_URL`]: `${kind}://me:hush@${where}/site` },
  };
}

async function ask({ args, env }: Asked): Promise<Answered> {
  const started = Date.now();
  return { ...(await pacifica(args, { env })), ms: Date.now() - started };
}

/** what is to be away or silent, and the command that meets it */
const PATIENT = [
  ['the database is away', 'postgres', 'DATABASE', false, 'db check'],
  ['the database is silent', 'postgres', 'DATABASE', true, 'ingest list'],
  ['the queue on PostgreSQL is away', 'postgres', 'JOBS', false, 'jobs list --debug'],
  ['the queue on PostgreSQL is silent', 'postgres', 'JOBS', true, 'cart purge'],
  ['the queue on MongoDB is away', 'mongodb', 'JOBS', false, 'jobs purge --yes'],
  ['the queue on MongoDB is silent', 'mongodb', 'JOBS', true, 'ingest retry 1'],
] as const;
const DOCTORS = [
  ['doctor', 1, 'postgres', 'DATABASE'],
  ['doctor', 1, 'mongodb', 'JOBS'],
  ['config check', 5, 'postgres', 'JOBS'],
] as const;

/** All at once: they do nothing but wait. */
const answers = new Map<string, Promise<Answered>>();

async function answer(name: string): Promise<Answered> {
  const one = await answers.get(name);
  if (one === undefined) throw new Error(`${name} was not asked`);
  return one;
}

beforeAll(async () => {
  expect((await pacifica(['db', 'sync', '--data-dir', dir])).code).toBe(0);
  silent = createServer((socket) => {
    silentOnes.add(socket);
    socket.on('error', () => undefined);
    socket.resume();
  }).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  mute = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  for (const [name, kind, setting, isSilent, command] of PATIENT)
    answers.set(name, ask(asked(kind, setting, isSilent ? mute : DEAD, command)));
  for (const [command, , kind, setting] of DOCTORS)
    answers.set(`${command} ${kind}`, ask(asked(kind, setting, mute, command)));
});
afterAll(() => {
  for (const socket of silentOnes) socket.destroy();
  silent.close();
  rmSync(dir, { recursive: true, force: true });
});

describe('a command of admins tries for half a minute, then ends with 5 and says what to do', () => {
  it.each(PATIENT)('%s', async (name, kind, setting, isSilent, command) => {
    const { code, stderr, ms } = await answer(name);
    const what = setting === 'JOBS' ? 'reach the job queue at' : '(open|reach) the database';
    const url = `${kind}://me:\\*\\*\\*@${isSilent ? mute : DEAD}/site`;
    const error = `Error: can not ${what} ${url}: .*\n Hint: .*\\[${setting.toLowerCase()}\\] url.*\n`;
    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringMatching(new RegExp(error)) as string });
    expect(stderr).not.toContain('hush');
    if (isSilent) expect(stderr).toMatch(/no answer|timed out/);
    // a pipe is told of the end alone, unless somebody looks for the fault
    const waits = stderr.match(/; waiting up to 30 s\n/g) ?? [];
    expect(waits).toHaveLength(command.includes('--debug') ? 1 : 0);
    // 30 s, and the start of so many programs at once
    expect(ms).toBeLessThan(45_000);
  });
});

describe('what looks for faults asks once', () => {
  it.each(DOCTORS)('%s ends with %i beside a silent %s', async (command, exit, kind) => {
    const { code, ms, text } = await answer(`${command} ${kind}`);
    const told = expect.stringMatching(/no answer|timed out/) as string;
    expect({ code, text: text() }).toEqual({ code: exit, text: told });
    expect(text()).not.toContain('hush');
    expect(ms).toBeLessThan(28_000);
  });
});

it.each([
  ['postgres://me:hush%zz@127.0.0.1/site', 'URI malformed'],
  ['postgres://me:hush@127.0.0.1:99999/site', 'Invalid URL'],
])('a URL that can not be read is told at once, as such: %s', async (url, reason) => {
  const { code, stderr } = await pacifica(['db', 'check', '--data-dir', dir], { env: { PACIFICA_DATABASE_URL: url } });
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(reason) as string });
  expect(stderr).toMatch(/^Error: the database URL postgres:\/\/me:\*\*\*@127.* can not be read: .*\n Hint: .*%40/);
  expect(stderr).not.toContain('hush');
});

it('an empty --data-dir, of a variable that is not set, is no other folder', async () => {
  for (const command of ['db sync', 'doctor', 'serve', 'jobs list']) {
    const { code, stderr } = await pacifica([...command.split(' '), '--data-dir', ''], { env: { HOME: dir } });
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--data-dir is empty') as string,
    });
  }
});

it('a person is told of the waiting, and can end it', async () => {
  const { args, env } = asked('postgres', 'DATABASE', mute, 'jobs list');
  const { code, screen } = await onTerminal(args, { env, steps: [['waiting', '\u0003']] });
  expect(screen).toContain(
    `can not reach the database postgres://me:***@${mute}/site: no answer so far; waiting up to`,
  );
  expect(code).toBe(130);
});
