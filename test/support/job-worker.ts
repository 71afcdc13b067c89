/**
 * A worker as a process of its own: `node --import tsx/esm test/support/job-worker.ts '<options as JSON>'`. What it does is
 * told on stdout, one JSON line each; SIGTERM stops it in order, the end of stdin at once.
 */
import { QueryTypes } from 'sequelize';
import { setTimeout as sleep } from 'node:timers/promises';
import { openJobQueue } from '../../src/jobs/jobs.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { JobRun } from '../../src/lib/job-queue.js';
import { Database } from '../../src/storage/database/database.js';
import { type WorkerEvent, type WorkerOptions } from './job-worker-options.js';
import { silent } from './log.js';

const options = JSON.parse(process.argv[2] ?? '{}') as WorkerOptions;
const database = await Database.open(options.database);
let runs = 0;

function tell(event: WorkerEvent['event'], rest: Partial<WorkerEvent> = {}): void {
  process.stdout.write(`${JSON.stringify({ event, at: Date.now(), ...rest })}\n`);
}

/** One statement, whose changed rows are counted. */
async function change(sql: string, bind: Record<string, unknown>): Promise<number> {
  return (await database.writeStatement(`${sql} RETURNING id`, bind)).length;
}

async function handler(id: string, { signal }: JobRun): Promise<void> {
  runs += 1;
  const run = `${process.pid}-${runs}`;
  const claimed = await change(
    'UPDATE test_work SET run_id = $run, starts = starts + 1 WHERE id = $id AND effects = 0',
    {
      id,
      run,
    },
  );
  if (claimed === 0) {
    const [row] = await database.sequelize.query('SELECT id FROM test_work WHERE id = $id', {
      bind: { id },
      type: QueryTypes.SELECT,
    });
    if (row === undefined) throw new PacificaError('internal', `there is no work ${id}`);
    return;
  }
  tell('start', { id });
  await sleep(options.workMs, undefined, options.deaf === true ? {} : { signal }).catch(() => undefined);
  signal.throwIfAborted();
  const finished = await change('UPDATE test_work SET effects = effects + 1 WHERE id = $id AND run_id = $run', {
    id,
    run,
  });
  tell(finished === 1 ? 'done' : 'fenced', { id });
  if (finished === 0) throw new PacificaError('aborted', 'another run has this work');
}

const jobs = await openJobQueue({
  ...options,
  database,
  handlers: new Map([['cart', handler]]),
  keepFinishedMs: 0,
  work: true,
  log: silent,
});
process.once('SIGTERM', () => {
  void jobs.stop().then(async () => {
    tell('stopped');
    await database.close();
    process.exit(0);
  });
});
process.stdin.on('end', () => process.exit(1)).resume();
process.on('unhandledRejection', (error) => {
  tell('fault', { message: String(error) });
  process.exit(1);
});
await jobs.start();
tell('ready');
