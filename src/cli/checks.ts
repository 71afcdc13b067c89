import type { Entry, Reading } from '../config/load.js';
import { messageOf, PacificaError } from '../lib/errors.js';

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
