import { counted } from '../lib/counted.js';
import { PacificaError } from '../lib/errors.js';
import type { Bundle } from './bundle.js';
import { HttpClient, type HttpRequest, type HttpResponse } from './http.js';
import { poll, type PollOptions } from './poll.js';
import { reach } from './reach.js';
import { speaksOfHash } from './speaks-of-hash.js';

const SERVICE = 'the ingest service';
/** ms that the service may take to answer after the last byte: it makes a bundle of any size durable first */
const ANSWER_TIMEOUT = 30 * 60_000;
/** the task in which the bundle comes in */
const FIRST_TASK = 'UPLOADING';
/** the task that asks whether the user may do this, and the one that comes last (wire.md, ingest part) */
const POLICY_TASK = 'Policy Validation';
const LAST_TASK = 'ingest metadata';

/** A job's state record (wire.md, ingest part), with what the service adds to it. */
export interface JobState {
  readonly job_id: number | string;
  readonly state: string;
  readonly task: string;
  /** per cent of the task, as text */
  readonly task_percent: string;
  /** what went wrong, empty when nothing did */
  readonly exception: string;
  readonly [key: string]: unknown;
}

/** What a service answered to an upload. */
export interface Begun {
  readonly job: JobState;
  /** the service had a job of this key already, and took nothing now */
  readonly replayed: boolean;
}

/** Talks to an ingest service: ours or an original one. */
export class IngestClient {
  readonly #http = new HttpClient(SERVICE);
  readonly #url: string;
  readonly #signal: AbortSignal | undefined;

  /** @param url base URL without a slash at its end */
  constructor(url: string, options: { signal?: AbortSignal } = {}) {
    this.#url = url;
    this.#signal = options.signal;
  }

  /**
   * Sends a bundle, once: a second try could make a second job of it. So it waits first until the service answers.
   * @param options.key Idempotency-Key: our service takes a bundle of a key once
   * @param options.onBytes told how many bytes of the bundle went out
   */
  async upload(bundle: Bundle, { key, onBytes }: { key: string; onBytes?: (bytes: number) => void }): Promise<Begun> {
    let sent = 0;
    const body = counted(bundle.stream(), (bytes) => {
      sent += bytes;
      onBytes?.(bytes);
    });
    await this.#reach();
    try {
      // /upload is what deployed clients use; services that know /ingest know it too
      const response = await this.#request(
        {
          method: 'POST',
          headers: { 'content-type': 'application/octet-stream', 'idempotency-key': key },
          body,
          size: bundle.size,
          headersTimeout: ANSWER_TIMEOUT,
        },
        '/upload',
      );
      const replayed = response.header('idempotency-replayed') === 'true';
      return { job: await this.#jobOf(response), replayed };
    } catch (error) {
      throw sent === bundle.size ? withDoubt(error) : error;
    }
  }

  /** Sends the metadata of files that lie on the server already, once as well. @param metadata JSON text */
  async move(metadata: string | Buffer): Promise<JobState> {
    await this.#reach();
    const headers = { 'content-type': 'application/json' };
    return this.#job({ method: 'POST', headers, body: metadata, headersTimeout: ANSWER_TIMEOUT }, '/move');
  }

  /**
   * Asks once how far a job is.
   * @throws PacificaError `not-found`
   */
  async state(job: string): Promise<JobState> {
    return this.#job({ method: 'GET' }, `/get_state?job_id=${encodeURIComponent(job)}`);
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  #reach(): Promise<void> {
    return reach(SERVICE, this.#url, this.#signal);
  }

  async #job(request: Omit<HttpRequest, 'url'>, path: string): Promise<JobState> {
    return this.#jobOf(await this.#request(request, path));
  }

  async #jobOf(response: HttpResponse): Promise<JobState> {
    if (response.status !== 200) throw await this.#http.serviceError(response);
    const record = await response.json();
    if (isJobState(record)) return record;
    throw new PacificaError('bad-gateway', `${SERVICE} at ${response.url} answered no job state`);
  }

  #request(request: Omit<HttpRequest, 'url'>, path: string): Promise<HttpResponse> {
    return this.#http.request({ ...request, url: `${this.#url}${path}`, signal: this.#signal });
  }
}

/** @returns whether nothing more will happen to a job: what deployed clients go by (wire.md, ingest part) */
export function jobEnded({ state, task, task_percent }: JobState): boolean {
  return state !== 'OK' || (task === LAST_TASK && Number(task_percent) === 100);
}

/**
 * Sends a bundle that an earlier run may have sent: what the service has a good job for is not sent again, what came to
 * nothing is.
 * @param send sends it, from its beginning each time
 * @throws PacificaError {@link jobFailure} when the service has a failed job for it that can be tried again there
 */
export async function uploadOnce(
  client: IngestClient,
  send: () => Promise<Begun>,
  options: PollOptions<JobState>,
): Promise<Begun> {
  const first = await send();
  if (!first.replayed) return first;
  const job = await waitUntilReceived(client, String(first.job.job_id), options);
  if (job.state === 'OK') return { job, replayed: true };
  const second = await send();
  if (second.replayed && second.job.state !== 'OK') {
    const { code, message } = jobFailure(second.job);
    throw new PacificaError(code, message, {
      hint: `the server has its data: "pacifica ingest retry ${second.job.job_id}" there tries it again, --again begins a new job`,
    });
  }
  return second;
}

/**
 * Waits until nobody sends the bundle of a job any more: it is in, or it failed.
 * @returns its state then
 */
export async function waitUntilReceived(
  client: IngestClient,
  job: string,
  options: PollOptions<JobState>,
): Promise<JobState> {
  const received = ({ state, task, task_percent }: JobState): boolean =>
    state !== 'OK' || task !== FIRST_TASK || Number(task_percent) === 100;
  return poll(() => client.state(job), received, options);
}

/**
 * Waits for the end of a job.
 * @returns its last state
 * @throws PacificaError `not-found`, {@link jobFailure}
 */
export async function waitForJob(client: IngestClient, job: string, options: PollOptions<JobState>): Promise<JobState> {
  const state = await poll(() => client.state(job), jobEnded, options);
  if (state.state !== 'OK') throw jobFailure(state);
  return state;
}

/** The error of a job that failed: `forbidden` when policy refused it, `integrity` when a hash was wrong. */
export function jobFailure({ job_id, task, exception }: JobState): PacificaError {
  const code = task === POLICY_TASK ? 'forbidden' : speaksOfHash(exception) ? 'integrity' : 'internal';
  const lines = exception.trim().split('\n');
  // original services send a Python stack, whose last line says what was wrong; ours a line for each thing that is
  const why = exception.startsWith('Traceback') ? lines.slice(-1) : lines;
  const text = (why[0] ?? '').trim() || 'the service does not say why';
  return new PacificaError(code, `job ${job_id} failed in "${task}": ${text}`, {
    hint: why.length > 1 ? `"pacifica ingest state ${job_id}" shows ${why.length - 1} more` : undefined,
  });
}

function isJobState(value: unknown): value is JobState {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Readonly<Record<string, unknown>>;
  return (
    ['number', 'string'].includes(typeof record.job_id) &&
    ['state', 'task', 'task_percent', 'exception'].every((key) => typeof record[key] === 'string')
  );
}

/** All bytes went out, and then the connection broke: the service may have taken them. */
function withDoubt(error: unknown): unknown {
  if (!(error instanceof PacificaError) || !['unavailable', 'timeout'].includes(error.code)) return error;
  return new PacificaError(error.code, `${error.message}, after the whole bundle was sent`, {
    hint: 'send it again: our service takes it once. An original one may have a job for it: look for its files first',
    cause: error,
  });
}
