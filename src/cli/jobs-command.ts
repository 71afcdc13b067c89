import { Args } from './oclif.js';
import { parseCartUid } from '../cart/names.js';
import type { JobView } from '../jobs/admin.js';
import { PacificaError } from '../lib/errors.js';
import { type JobKind, jobKinds, type JobRows } from '../lib/job-queue.js';
import type { Tools } from '../wiring.js';
import { ClientCommand } from './client-command.js';
import { dataDirSetting } from './serve-flags.js';
import { withTools } from './with-tools.js';

/** Arguments that name a job. */
export const jobArgs = {
  kind: Args.string({ description: 'Kind of the job', options: [...jobKinds], required: true, ignoreStdin: true }),
  id: Args.string({
    description: 'What it is about, as "jobs list" shows it; or the uid of a cart, if that is no number',
    required: true,
    ignoreStdin: true,
  }),
};

/** A command of admins on the job queue. It works on the database and the queue of the configuration, daemons or not. */
export abstract class JobsCommand extends ClientCommand {
  /** Opens the queue and what its jobs are about, for one piece of work. */
  protected async withTools<T>(
    flags: Readonly<Record<string, unknown>>,
    work: (tools: Tools) => Promise<T>,
  ): Promise<T> {
    return withTools(await this.configuration(flags, dataDirSetting), this.patience, work);
  }
}

/** What a person named a job by. */
export interface NamedJob {
  readonly kind: JobKind;
  readonly name: string;
}

/** as the database writes it, so that one job has one name */
const ID = /^[1-9][0-9]{0,15}$/;

/** @throws PacificaError `invalid` when no job can be so named */
export function parseJob({ kind, id }: { kind: string; id: string }): NamedJob {
  if (kind === 'cart' && !/^[0-9]+$/.test(id)) return { kind, name: parseCartUid(id) };
  if ((kind === 'cart' || kind === 'ingest') && !ID.test(id))
    throw new PacificaError('invalid', `"${id}" is no id of a job`, { hint: 'see "pacifica jobs list"' });
  return { kind: kind as JobKind, name: id };
}

/**
 * @returns the id of a job
 * @throws PacificaError `not-found` when there is no cart of that uid
 */
export async function idOf({ carts }: Tools, { kind, name }: NamedJob): Promise<string> {
  if (kind !== 'cart' || ID.test(name)) return name;
  const cart = await carts.find(name);
  if (cart === undefined) throw new PacificaError('not-found', `there is no cart with the uid ${name}`);
  return String(cart.id);
}

/** @returns uids of the carts among jobs, by job */
export async function cartUids({ carts }: Tools, jobs: readonly JobView[]): Promise<Map<JobView, string>> {
  const ofCarts = jobs.filter(({ kind }) => kind === 'cart');
  const uids = await carts.uidsOf(ofCarts.map(({ id }) => Number(id)));
  return new Map(ofCarts.map((job) => [job, uids.get(Number(job.id)) ?? '']));
}

/** @returns what jobs of a kind are about; undefined when that is no row */
export function rowsOf({ carts, ingest }: Tools, kind: JobKind): JobRows | undefined {
  if (kind === 'cart') return carts.rows;
  return kind === 'ingest' ? ingest.rows : undefined;
}

/** A job as `--json` prints it. @param uid of the cart that it is about */
export function jobJson(
  { kind, id, state, failures, error, worker, nextRunAt, startedAt, finishedAt }: JobView,
  uid: string | undefined,
): object {
  return {
    kind,
    id,
    uid: uid ?? null,
    state,
    tries: failures,
    error: error ?? null,
    next: nextRunAt?.toISOString() ?? null,
    started: startedAt?.toISOString() ?? null,
    finished: finishedAt?.toISOString() ?? null,
    worker: worker ?? null,
  };
}

/** @returns a time as people read it, UTC; empty when there is none */
export function timeText(time: Date | undefined): string {
  return time === undefined ? '' : time.toISOString().slice(0, 19).replace('T', ' ');
}
