import type { Entry, Reading } from '../config/load.js';
import { messageOf, PacificaError } from '../lib/errors.js';
import { maskSecrets } from '../lib/mask-secrets.js';

/** ms that a MongoDB gets to answer */
const MONGO_PATIENCE = 5000;

/** What came out when one thing was looked at. */
export interface Finding {
  /** what was looked at: `database`, `archiveinterface.url` */
  readonly check: string;
  readonly ok: boolean;
  /** how it is, one line */
  readonly message: string;
  /** what to do about it */
  readonly remedy?: string;
  readonly error?: unknown;
}

/** @returns what a check threw as a finding */
export function failed(check: string, error: unknown, remedy: string): Finding {
  const hint = error instanceof PacificaError ? error.hint : undefined;
  return { check, ok: false, message: messageOf(error), remedy: hint ?? remedy, error };
}

/** The settings that name a service, and its URL. */
export function serviceUrls({ entries }: Reading): { entry: Entry; name: string; url: string }[] {
  return entries.flatMap((entry) => {
    const name = `${entry.section}.${entry.key}`;
    const url = entry.value;
    return entry.setting.kind.name === 'HTTP URL' && typeof url === 'string' && url !== ''
      ? [{ entry, name, url }]
      : [];
  });
}

/** A service that was asked. */
export interface AskedService extends Finding {
  /** ms that its clock is ahead, where it says */
  readonly skewMs?: number;
}

/**
 * Asks every service that the configuration names, all at once. One that nobody named, at its default address, may be
 * away: this machine need not run it.
 */
export async function askServices(reading: Reading, signal: AbortSignal): Promise<AskedService[]> {
  const { ask } = await import('../client/ask.js');
  return Promise.all(
    serviceUrls(reading).map(async ({ entry, name, url }): Promise<AskedService> => {
      try {
        const skewMs = await ask(name, `${url}${/\/[^/]/.test(new URL(url).pathname) ? '' : '/'}`, signal);
        return { check: name, ok: true, message: `${entry.text} answers`, skewMs };
      } catch (error) {
        signal.throwIfAborted();
        if (entry.origin === 'default')
          return { check: name, ok: true, message: `${entry.text} (default): nothing there` };
        return failed(name, error, `start it, or correct ${entry.origin}`);
      }
    }),
  );
}

/** Asks a database that runs on its own. The file of SQLite is none: it is made when it is needed. */
export async function askDatabase(url: string): Promise<Finding | undefined> {
  return url.startsWith('sqlite:') ? undefined : knock('database.url', url);
}

/** Asks a server that jobs are queued on. Opening the queue itself would make its tables. */
export async function askQueue(url: string): Promise<Finding | undefined> {
  return url === '' ? undefined : knock('jobs.url', url);
}

/** @returns what is wrong, if anything */
async function knock(check: string, url: string): Promise<Finding | undefined> {
  try {
    if (url.startsWith('mongodb')) await pingMongo(url);
    else {
      const { Database } = await import('../storage/database/database.js');
      await (await Database.open(url)).close();
    }
    return undefined;
  } catch (error) {
    return { check, ok: false, message: messageOf(error), remedy: 'start it, or correct its URL', error };
  }
}

async function pingMongo(url: string): Promise<void> {
  const { MongoClient } = await import('mongodb');
  const client = new MongoClient(url, { serverSelectionTimeoutMS: MONGO_PATIENCE });
  try {
    await client.db().command({ ping: 1 });
  } catch (error) {
    throw new PacificaError('unavailable', `can not reach MongoDB at ${maskSecrets(url)}: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    await client.close();
  }
}
