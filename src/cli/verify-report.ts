import type { Finding, VerifyOptions, VerifyResult } from '../archive/verify.js';
import { formatSize } from '../lib/sizes.js';
import type { VerifyCounts } from '../storage/database/archive-verify.js';
import { type Progress, startProgress } from './progress.js';

/** What a person or a program sees of a verification: a bar, a line of JSON for each finding, a summary at the end. */
export class VerifyReport {
  counts: VerifyCounts = { files: 0, bytes: 0, damaged: 0, unrecorded: 0, adopted: 0 };
  readonly #json: boolean;
  readonly #started = performance.now();
  #progress: Progress = startProgress('verifying');

  /** @param options.json write the summary as a line of JSON too, instead of a sentence on stderr */
  constructor({ json }: { json: boolean }) {
    this.#json = json;
  }

  get listeners(): Pick<VerifyOptions, 'onTotal' | 'onRead' | 'onCounts' | 'onFinding'> {
    return {
      onTotal: (bytes) => {
        this.#progress.stop();
        this.#progress = startProgress('verifying', bytes === 0 ? {} : { bytes });
      },
      onRead: (bytes) => this.#progress.add(bytes),
      onCounts: (counts) => {
        this.counts = counts;
        this.#progress.label(counts.damaged === 0 ? 'verifying' : `verifying, ${counts.damaged} damaged`);
        this.#progress.file();
      },
      onFinding: (finding) => {
        this.#progress.wipe();
        process.stdout.write(`${JSON.stringify(lineOf(finding))}\n`);
      },
    };
  }

  /** @param goOn how the rest can be verified, when something is left */
  end(result: VerifyResult, goOn?: string): void {
    this.#progress.stop();
    const ms = performance.now() - this.#started;
    const { files, bytes, damaged, unrecorded, adopted, complete } = result;
    if (this.#json) {
      const seconds = Math.round(ms) / 1000;
      const summary = { files, bytes, damaged, unrecorded, adopted, complete, seconds };
      process.stdout.write(`${JSON.stringify({ summary })}\n`);
      return;
    }
    const found = [
      damaged === 0 ? 'none damaged' : `${damaged} damaged`,
      ...(unrecorded === 0 ? [] : [`${unrecorded} unrecorded${adopted === 0 ? '' : ` (${adopted} adopted)`}`]),
    ];
    process.stderr.write(`verified ${files} files, ${formatSize(bytes)}: ${found.join(', ')}\n`);
    if (goOn !== undefined) process.stderr.write(`The time is up: ${goOn}\n`);
  }
}

function lineOf(finding: Finding): Record<string, string> {
  if (finding.reason !== 'unrecorded') return { ...finding };
  const { id, path, reason, adopted } = finding;
  return { id, path, reason, ...(adopted !== undefined && { adopted: `${adopted.type}:${adopted.sum}` }) };
}
