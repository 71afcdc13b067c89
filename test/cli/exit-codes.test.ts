import { describe, expect, it } from 'vitest';
import { EXIT, exitCodeOf, exitCodeOfAll } from '../../src/cli/exit-codes.js';
import { Errors } from '../../src/cli/oclif.js';
import { type ErrorCode, PacificaError } from '../../src/lib/errors.js';

// scripts of sites depend on these numbers
const table: [ErrorCode, number][] = [
  ['invalid', 2],
  ['not-found', 3],
  ['exists', 7],
  ['forbidden', 7],
  ['precondition', 1],
  ['too-large', 7],
  ['range', 1],
  ['not-ready', 4],
  ['integrity', 6],
  ['no-space', 1],
  ['unavailable', 5],
  ['bad-gateway', 5],
  ['timeout', 5],
  ['aborted', 130],
  ['internal', 1],
];

describe('exitCodeOf', () => {
  it.each(table)('%s -> %i', (code, exit) => expect(exitCodeOf(new PacificaError(code, 'x'))).toBe(exit));

  it('takes errors of the command line for wrong usage, dead connections for "later", the rest for failures', () => {
    expect(exitCodeOf(new Errors.CLIError('nonexistent flag'))).toBe(EXIT.usage);
    expect(exitCodeOf(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))).toBe(EXIT.tryLater);
    expect(exitCodeOf(new Error('x'))).toBe(EXIT.failed);
  });
});

describe('exitCodeOfAll', () => {
  const [missing, refused] = (['not-found', 'forbidden'] as const).map((code) => new PacificaError(code, 'x'));

  it('is what all have in common', () => {
    expect(exitCodeOfAll([missing, missing])).toBe(EXIT.notFound);
    expect(exitCodeOfAll([missing, refused])).toBe(EXIT.failed);
    expect(exitCodeOfAll([])).toBe(EXIT.done);
  });
});
