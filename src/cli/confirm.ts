import { createInterface } from 'node:readline/promises';
import { PacificaError } from '../lib/errors.js';

/**
 * Asks the person at the terminal before something that can not be undone.
 * @throws PacificaError `invalid` when nobody is there to be asked, `aborted` when the answer is no
 */
export async function confirm(question: string, signal: AbortSignal): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new PacificaError('invalid', `nobody is there to be asked: ${question}`, { hint: 'add --yes' });
  }
  // not as a terminal: Ctrl-C is then a signal as everywhere else
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  try {
    const answer = await Promise.race([
      lines.question(`${question} [y/N] `, { signal }),
      new Promise<string>((resolve) => lines.once('close', () => resolve(''))),
    ]);
    if (!/^y(es)?$/i.test(answer.trim())) throw new PacificaError('aborted', 'nothing was done');
  } finally {
    lines.close();
  }
}
