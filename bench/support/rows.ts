import type { LoopDelay } from './servers.js';

/** What one run of a contender came to. */
export interface Sample {
  /** in the row's unit */
  readonly rate: number;
  /** CPU seconds of the server for the work */
  readonly cpu?: number;
  readonly loop?: LoopDelay;
}

export interface Contender {
  readonly name: string;
  run(): Promise<Sample>;
}

/** Things that are measured in turn, so that what else the machine does falls on all of them. */
export interface Row {
  readonly name: string;
  /** of the rates; higher is better */
  readonly unit: string;
  readonly ours: Contender;
  readonly others: readonly Contender[];
  /** least rate of ours, as a part of the rate of the first of the others */
  readonly ratio: number;
  /** most CPU seconds that ours may take */
  readonly cpu?: number;
  /**
   * Starts the servers anew, before the first round and every few: where their memory comes to lie stays as it is while
   * they run, and decides on what copying it costs. Rounds that warm them up follow, which do not count.
   */
  readonly renew?: () => Promise<unknown>;
}

/** most ms that the event loop of a daemon may be blocked */
const LOOP_LIMIT = 50;

export const TABLE_HEAD = [
  '| work | ours | beside it | ratio, target | server CPU, ours / beside it | event loop blocked at most |',
  '| --- | --- | --- | --- | --- | --- |',
].join('\n');

/** rounds after which servers are started anew, where a row asks for that */
const LIFE = 3;
/** rounds after that which do not count: a daemon that just started has other work, and its code is not compiled yet */
const WARM = 3;

/** Measures a row. @returns a line of the table */
export async function measure(row: Row, rounds: number): Promise<string> {
  const { renew } = row;
  const contenders = [row.ours, ...row.others];
  const samples = contenders.map((): Sample[] => []);
  for (let round = 0; round < rounds; round += 1) {
    if (renew !== undefined && round % LIFE === 0) {
      await renew();
      for (let warm = 0; warm < WARM; warm += 1) for (const contender of contenders) await contender.run();
    }
    for (let turn = 0; turn < contenders.length; turn += 1) {
      // another one begins each round
      const index = (turn + round) % contenders.length;
      const sample = await contenders[index]?.run();
      if (sample !== undefined) samples[index]?.push(sample);
    }
  }
  const [ours = [], ...others] = samples;
  const rate = median(ours.map((sample) => sample.rate));
  const beside = others.map((list) => median(list.map((sample) => sample.rate)));
  const ratio = rate / (beside[0] ?? NaN);
  const delays = ours.flatMap(({ loop }) => loop ?? []);
  const cpu = median(ours.map((sample) => sample.cpu ?? NaN));
  return `| ${[
    row.name,
    `${Math.round(rate)} ${row.unit}`,
    row.others.map(({ name }, index) => `${name} ${Math.round(beside[index] ?? NaN)}`).join(', '),
    `${ratio.toFixed(2)} (at least ${row.ratio}${verdict(ratio >= row.ratio)})`,
    `${cpu.toFixed(2)} s${row.cpu === undefined ? '' : ` (at most ${row.cpu}${verdict(cpu <= row.cpu)})`} / ` +
      (others[0]?.[0]?.cpu === undefined
        ? '-'
        : `${median(others[0].map((sample) => sample.cpu ?? NaN)).toFixed(2)} s`),
    delays.length === 0 ? '-' : loopText(delays),
  ].join(' | ')} |`;
}

export function loopText(delays: readonly LoopDelay[]): string {
  const own = Math.max(...delays.map((delay) => delay.own));
  const worst = Math.max(...delays.map((delay) => delay.worst));
  return `${own.toFixed(0)} ms${verdict(own <= LOOP_LIMIT)} (${worst.toFixed(0)} with waiting for a processor)`;
}

/** @returns what is said of a target that was missed */
export function verdict(met: boolean): string {
  return met ? '' : ', MISSED';
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? NaN) + (sorted[Math.floor(middle)] ?? NaN)) / 2;
}
