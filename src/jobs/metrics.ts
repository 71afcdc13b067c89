import { jobKinds } from '../lib/job-queue.js';
import type { Metric } from '../lib/metric.js';
import type { JobCounts, Jobs } from './jobs.js';

/** How runs end, by the label that tells it. */
const OUTCOMES = {
  succeeded: 'succeeded',
  failed: 'failed',
  retried: 'retried',
  handedBack: 'handed_back',
  lost: 'lost',
} as const satisfies Partial<Record<keyof JobCounts, string>>;

/** What the admin port tells of the queue and of this process's work on it. */
export function jobMetrics(jobs: Jobs): Metric[] {
  const counts = jobKinds.flatMap((kind) => {
    const some = jobs.counts.get(kind);
    return some === undefined ? [] : [{ kind, some }];
  });
  return [
    {
      name: 'pacifica_jobs_started_total',
      help: 'Jobs that this process began to run.',
      type: 'counter',
      samples: counts.map(({ kind, some }) => ({ labels: { kind }, value: some.started })),
    },
    {
      name: 'pacifica_jobs_ended_total',
      help: 'Runs of jobs in this process, by how they ended.',
      type: 'counter',
      samples: counts.flatMap(({ kind, some }) =>
        Object.entries(OUTCOMES).map(([key, outcome]) => ({
          labels: { kind, outcome },
          value: some[key as keyof typeof OUTCOMES],
        })),
      ),
    },
    {
      name: 'pacifica_job_queue_faults_total',
      help: 'Errors of the job queue itself and of its connections.',
      type: 'counter',
      samples: [{ value: jobs.faults }],
    },
  ];
}
