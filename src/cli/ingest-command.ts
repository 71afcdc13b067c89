import { type IngestClient, type JobState, waitForJob } from '../client/ingest-client.js';
import { ClientCommand } from './client-command.js';
import { startProgress } from './progress.js';

/** A command that begins a job, or looks at one. */
export abstract class IngestCommand extends ClientCommand {
  /** Tells which job was begun, and with `wait` how it ended. */
  protected async follow(
    client: IngestClient,
    begun: JobState,
    { wait, json }: { wait: boolean; json: boolean },
  ): Promise<void> {
    const job = String(begun.job_id);
    // before the waiting: who reads the number can go on with it meanwhile
    if (!json) this.print(`${job}\n`);
    const last = wait ? await this.waitFor(client, job) : begun;
    if (json) this.printJson(last);
  }

  /**
   * Waits for the end of a job, and shows on a terminal how far it is.
   * @throws PacificaError as waitForJob
   */
  protected async waitFor(client: IngestClient, job: string): Promise<JobState> {
    const progress = startProgress(`job ${job}`, { bytes: 'percent' });
    const onAnswer = ({ task, task_percent }: JobState): void => {
      progress.label(`job ${job}: ${task}`, Number(task_percent));
    };
    try {
      return await waitForJob(client, job, { onAnswer, signal: this.signal });
    } finally {
      progress.stop();
    }
  }
}
