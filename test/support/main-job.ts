import { execFileSync } from 'node:child_process';
import type { Daemon } from './serve.js';
import { until } from './until.js';

/** What GET /get_state answers (wire.md). */
export interface JobState {
  job_id: number;
  state: string;
  task: string;
  task_percent: string;
  complete: boolean;
  exception: string;
}

/** Posts a bundle with curl. @returns the state record of the answer */
export function postBundle(daemon: Pick<Daemon, 'urls'>, file: string): JobState {
  const answer = execFileSync(
    'curl',
    ['-sSf', '-X', 'POST', '--data-binary', `@${file}`, `${daemon.urls.ingest}/ingest`],
    {
      encoding: 'utf8',
    },
  );
  return JSON.parse(answer) as JobState;
}

/** @returns the state of a job now */
export async function jobState(daemon: Pick<Daemon, 'urls'>, id: number): Promise<JobState> {
  return (await (await fetch(`${daemon.urls.ingest}/get_state?job_id=${id}`)).json()) as JobState;
}

/** Waits as deployed clients do: until the state is not OK, or the last task is at 100. */
export async function jobEnd(daemon: Pick<Daemon, 'urls'>, id: number, timeout = 60_000): Promise<JobState> {
  return until(
    `the end of job ${id}`,
    async () => {
      const state = await jobState(daemon, id);
      const ended = state.state !== 'OK' || (state.task === 'ingest metadata' && Number(state.task_percent) === 100);
      return ended && state;
    },
    timeout,
  );
}

/** Posts a bundle with curl and waits for its end. */
export async function ingest(daemon: Pick<Daemon, 'urls'>, file: string): Promise<JobState> {
  return jobEnd(daemon, postBundle(daemon, file).job_id);
}

export interface CartRequest {
  fileids: { id: string; path: string; hashtype: string; hashsum: string }[];
}

/** @returns the request for a cart of everything that a job brought */
export async function cartOf(daemon: Pick<Daemon, 'urls'>, job: number): Promise<CartRequest> {
  const files = (await (await fetch(`${daemon.urls.catalog}/files?transaction=${job}`)).json()) as {
    _id: number;
    subdir: string;
    name: string;
    hashtype: string;
    hashsum: string;
  }[];
  return {
    fileids: files.map(({ _id, subdir, name, hashtype, hashsum }) => ({
      id: String(_id),
      path: subdir === '' ? name : `${subdir}/${name}`,
      hashtype,
      hashsum,
    })),
  };
}

/** Posts a cart. */
export async function postCart(daemon: Pick<Daemon, 'urls'>, uid: string, request: CartRequest): Promise<void> {
  const answer = await fetch(`${daemon.urls.cart}/${uid}`, { method: 'POST', body: JSON.stringify(request) });
  if (answer.status !== 201) throw new Error(`POST cart: ${answer.status} ${await answer.text()}`);
}

/** Waits as deployed clients do: until HEAD says something else than `staging`. @returns that status */
export async function cartEnd(daemon: Pick<Daemon, 'urls'>, uid: string, timeout = 60_000): Promise<string> {
  return until(
    `the end of cart ${uid}`,
    async () => {
      const answer = await fetch(`${daemon.urls.cart}/${uid}`, { method: 'HEAD' });
      const status = answer.headers.get('x-pacifica-status');
      return status !== null && status !== 'staging' && status !== 'bundling' && status;
    },
    timeout,
  );
}
