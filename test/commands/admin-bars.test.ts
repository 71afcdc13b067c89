import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sqlite3 from 'sqlite3';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { sha1 } from '../support/bundle.js';
import { pacifica } from '../support/cli.js';
import { cartEnd, postCart } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';
import { onTerminal } from '../support/terminal.js';

// The bars of what an administrator does with carts. A daemon has made them, and is gone.

const GIB = 1024 ** 3;
/** of 2 GiB: `head -c 2147483648 /dev/zero | md5sum` */
const MD5_OF_ZEROS = 'a981130cf2b7e09f4686dc273cf7187e';
let home: string;
let daemon: Daemon;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-admin-bars-'));
  mkdirSync(join(home, 'archive'));
  daemon = await startServe(home);
});
afterEach(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

const file = (id: string): string => join(home, 'archive', id);

/** Makes carts of one file, one after another. */
async function ready(uids: readonly string[], id: string, hashtype: string, hashsum: string): Promise<void> {
  for (const uid of uids) await postCart(daemon, uid, { fileids: [{ id, path: 'f', hashtype, hashsum }] });
  for (const uid of uids) expect(await cartEnd(daemon, uid)).toBe('ready');
}

it('cart fixit shows how far it has read, and Ctrl-C ends it within a file', async () => {
  // md5 takes more than two seconds for so much, on any machine; a bar comes after one
  writeFileSync(file('5'), '', { mode: 0o444 });
  truncateSync(file('5'), 2 * GIB);
  await ready(['large'], '5', 'md5', MD5_OF_ZEROS);
  await daemon.stop();

  const { code, screen } = await onTerminal(['cart', 'fixit', 'large', '--data-dir', home], {
    steps: [['GiB  ', '\u0003']],
  });
  expect(code).toBe(130);
  expect(screen).toMatch(
    /checking cart large \[[=-]{30}\] \d+% {2}0 of 1 files {2}[\d.]+ (MiB|GiB) of 2\.0 GiB {2}[\d.]+ (MiB|GiB)\/s {2}ETA \d:\d\d/,
  );
  expect(screen).toMatch(/Error:\S* interrupted\r\n Hint: what was found so far is brought again; /);
  expect(screen).not.toContain('1 of 1 files');
});

it('cart purge shows how many carts have gone, and Ctrl-C ends it between two', async () => {
  writeFileSync(file('6'), 'six', { mode: 0o444 });
  const uids = Array.from({ length: 40 }, (_, n) => `old-${n}`);
  await ready(uids, '6', 'sha1', sha1(Buffer.from('six')));
  await daemon.stop();

  // somebody else writes to the database for so long that a bar comes, when some have gone
  const database = new sqlite3.Database(join(home, 'pacifica.db'));
  database.configure('busyTimeout', 30_000);
  const run = promisify((sql: string, done: (error: Error | null) => void) =>
    database.exec(sql, (error) => done(error)),
  );
  let held: Promise<unknown> | undefined;
  let released: Promise<unknown> | undefined;
  const { code, screen } = await onTerminal(['cart', 'purge', '--time-ago', '0s', '--data-dir', home], {
    steps: [[' carts', '\u0003']],
    onScreen: (shown) => {
      if (shown.includes('old-0')) held ??= run('BEGIN IMMEDIATE');
      if (shown.includes('^C')) released ??= run('ROLLBACK');
    },
  });
  await Promise.all([held, released]);
  await promisify(database.close.bind(database))();

  expect(code).toBe(130);
  expect(screen).toMatch(/purging {2}\d+ carts/);
  expect(screen).toMatch(/Error:\S* interrupted\r\n Hint: the same command goes on with the other carts\r\n$/);
  const gone = uids.filter((uid) => new RegExp(`${uid}\\r\\n`).test(screen));
  const rest = await pacifica(['cart', 'purge', '--time-ago', '0s', '--data-dir', home]);
  expect(rest.text().trimEnd().split('\n')).toEqual(uids.slice(gone.length));
  expect(gone).toEqual(uids.slice(0, gone.length));
});
