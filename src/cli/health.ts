import { randomBytes } from 'node:crypto';
import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { QueryTypes } from 'sequelize';
import type { Config } from '../config/load.js';
import { syncFolder } from '../lib/durable-write.js';
import { systemCode } from '../lib/errors.js';
import { formatSize } from '../lib/sizes.js';
import { Database } from '../storage/database/database.js';
import { schemaState } from '../storage/database/schema.js';
import { askQueue, failed, type Finding } from './checks.js';

// What "pacifica doctor" looks at on this machine.

/** ms that clocks may differ: an HTTP date tells seconds only */
const SKEW = 5000;
/** files that a busy daemon may have open */
const OPEN_FILES = 4096;
/** bytes below which a volume is as good as full */
const FREE_SPACE = 1024 ** 3;

/** A clock that is not this machine's. */
export interface Clock {
  readonly name: string;
  /** ms that it is ahead of ours */
  readonly skewMs: number;
}

export function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > 20 || (major === 20 && minor >= 19);
  const remedy = ok ? undefined : 'install Node 20.19 or newer';
  return { check: 'node', ok, message: `Node ${process.versions.node}`, remedy };
}

export function checkOpenFiles(): Finding {
  // Node's types call the report an object and no more
  const { userLimits } = process.report.getReport() as unknown as { userLimits: { open_files: { soft: unknown } } };
  const limit = userLimits.open_files.soft;
  const ok = typeof limit !== 'number' || limit >= OPEN_FILES;
  const remedy = ok ? undefined : `allow ${OPEN_FILES}: LimitNOFILE= in the systemd unit, or ulimit -n`;
  return { check: 'open files', ok, message: `${String(limit)} may be open at a time`, remedy };
}

/** Folders that a daemon of this configuration writes to, each once, with the setting that names it. */
export function foldersOf(config: Config): Map<string, string> {
  const { url } = config.database;
  const named: [string, string][] = [
    ...(config.archiveinterface.url === '' && config.archive.storage.startsWith('posix:')
      ? [[fileURLToPath(config.archive.storage.replace(/^posix/, 'file')), 'archive.storage'] as [string, string]]
      : []),
    [config.cartd.volume_path, 'cartd.volume_path'],
    [config.ingest.volume_path, 'ingest.volume_path'],
    ...(url.startsWith('sqlite:')
      ? [[dirname(decodeURIComponent(new URL(url).pathname)), 'database.url'] as [string, string]]
      : []),
  ];
  return new Map(named.toReversed());
}

/** Writes, syncs and removes a small file, and looks how much room there is. */
export async function checkFolder(folder: string, setting: string): Promise<{ finding: Finding; clock?: Clock }> {
  const check = `storage ${setting}`;
  const file = join(folder, `.pacifica-doctor-${randomBytes(6).toString('hex')}`);
  try {
    const space = await statfs(folder);
    const free = space.bavail * space.bsize;
    let skewMs: number;
    try {
      const handle = await open(file, 'wx');
      try {
        await handle.writeFile('doctor\n');
        await handle.sync();
        skewMs = (await handle.stat()).mtimeMs - Date.now();
      } finally {
        await handle.close();
      }
    } finally {
      await rm(file, { force: true });
    }
    await syncFolder(folder);
    const few = space.files > 0 && space.ffree / space.files < 0.01;
    const ok = free >= FREE_SPACE && !few;
    return {
      finding: {
        check,
        ok,
        message: `${folder} can be written and synced, ${formatSize(free)} free${few ? ', but hardly any inodes' : ''}`,
        remedy: ok ? undefined : 'make room on the volume, or move the folder to a larger one',
      },
      clock: { name: folder, skewMs },
    };
  } catch (error) {
    const there = systemCode(error) !== 'ENOENT' || (await stat(folder).catch(() => undefined)) !== undefined;
    const finding = there
      ? failed(check, error, `mend the permissions or the volume of ${folder}, or set ${setting} to another folder`)
      : {
          check,
          ok: false,
          message: `there is no folder ${folder}`,
          remedy: `a daemon makes it at its first start; else correct ${setting}`,
        };
    return {
      finding: {
        ...finding,
        message: finding.message.includes(folder) ? finding.message : `${folder}: ${finding.message}`,
      },
    };
  }
}

/** Looks into the database and the queue; changes nothing. */
export async function checkDatabase(config: Config): Promise<{ findings: Finding[]; clock?: Clock }> {
  let database: Database;
  try {
    database = await Database.open(config.database.url, { create: false });
  } catch (error) {
    const findings = [failed('database', error, 'check [database] url')];
    return {
      findings: [
        ...findings,
        { check: 'jobs', ok: false, message: 'not looked at', remedy: 'mend the database first' },
      ],
    };
  }
  try {
    const where = database.file ?? 'PostgreSQL';
    const { state } = await schemaState(database);
    const schema: Finding =
      state === 'current'
        ? { check: 'schema', ok: true, message: 'it fits this program' }
        : { check: 'schema', ok: false, message: `it is ${state}`, remedy: 'see "pacifica db check"' };
    const findings: Finding[] = [{ check: 'database', ok: true, message: `${where} answers` }, schema];
    if (!schema.ok) {
      return {
        findings: [
          ...findings,
          { check: 'jobs', ok: false, message: 'not looked at', remedy: 'mend the schema first' },
        ],
      };
    }
    return { findings: [...findings, await checkJobs(config)], clock: await clockOf(database) };
  } catch (error) {
    return { findings: [failed('database', error, 'check [database] url')] };
  } finally {
    await database.close();
  }
}

async function checkJobs({ jobs: { url } }: Config): Promise<Finding> {
  // the schema has their table
  if (url === '') return { check: 'jobs', ok: true, message: 'they are queued in the database' };
  const wrong = await askQueue(url);
  return { ...(wrong ?? { ok: true, message: 'the queue answers' }), check: 'jobs' };
}

async function clockOf(database: Database): Promise<Clock | undefined> {
  if (database.dialect !== 'postgres') return undefined;
  const [row] = await database.sequelize.query<{ now: string }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now',
    { type: QueryTypes.SELECT },
  );
  return row === undefined ? undefined : { name: 'the database', skewMs: Number(row.now) - Date.now() };
}

/** Compares our clock with all others that were seen. */
export function checkClock(clocks: readonly Clock[]): Finding {
  const wrong = clocks.filter(({ skewMs }) => Math.abs(skewMs) > SKEW);
  const told = wrong.map(({ name, skewMs }) => `${name} is ${Math.round(skewMs / 1000)} s off`).join(', ');
  if (clocks.length === 0) return { check: 'clock', ok: true, message: 'no other clock was seen to compare it with' };
  const others = clocks.length === 1 ? 'one other clock' : `${clocks.length} other clocks`;
  return wrong.length === 0
    ? { check: 'clock', ok: true, message: `it agrees with ${others}` }
    : {
        check: 'clock',
        ok: false,
        message: told,
        remedy: 'keep the time of all machines by NTP (chrony, systemd-timesyncd)',
      };
}
