import { formatSize } from '../lib/sizes.js';
import { printable } from './text.js';

/** ms before a bar is shown: what is done sooner needs none */
const PATIENCE = 1000;
/** ms between two drawings */
const REDRAW = 200;
/** ms that the rate is the mean of */
const WINDOW = 5000;

/** What a person at a terminal sees of work that takes its time. */
export interface Progress {
  /** so many more bytes are done */
  add(bytes: number): void;
  /** so many bytes of all are done; the rate counts from here */
  start(bytes: number): void;
  /** shows another label from now on, and per cent of it where there are no bytes to count */
  label(text: string, percent?: number): void;
  /** Takes the bar away. May be called twice. */
  stop(): void;
}

const SILENT: Progress = { add: ignore, start: ignore, label: ignore, stop: ignore };

function ignore(): void {
  // nobody looks
}

/**
 * A bar on stderr when that is a terminal, nothing otherwise.
 * @param total bytes; `percent` when {@link Progress.label} says how far it is; undefined when nobody knows
 */
export function startProgress(label: string, total: number | 'percent' | undefined): Progress {
  return process.stderr.isTTY ? new Bar(label, total) : SILENT;
}

class Bar implements Progress {
  readonly #total: number | 'percent' | undefined;
  readonly #patience: NodeJS.Timeout;
  #label: string;
  #value = 0;
  #samples: { time: number; value: number }[];
  #redraw: NodeJS.Timeout | undefined;
  #erase: (() => void) | undefined;
  #stopped = false;

  constructor(label: string, total: number | 'percent' | undefined) {
    this.#label = label;
    this.#total = total;
    this.#samples = [{ time: performance.now(), value: 0 }];
    this.#patience = setTimeout(() => void this.#show(), PATIENCE).unref();
  }

  add(bytes: number): void {
    this.#value += bytes;
  }

  start(bytes: number): void {
    this.#value = bytes;
    this.#samples = [{ time: performance.now(), value: bytes }];
  }

  label(text: string, percent?: number): void {
    this.#label = text;
    if (percent !== undefined) this.#value = percent;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#patience);
    clearInterval(this.#redraw);
    this.#erase?.();
    this.#erase = undefined;
  }

  async #show(): Promise<void> {
    const { default: cliProgress } = await import('cli-progress');
    if (this.#stopped) return;
    const wide = process.stderr.columns >= 100;
    const bar = new cliProgress.SingleBar({
      stream: process.stderr,
      format: this.#format(),
      barsize: wide ? 30 : 12,
      clearOnComplete: true,
      hideCursor: false,
      linewrap: false,
      emptyOnZero: true,
    });
    const total = this.#total === 'percent' ? 100 : (this.#total ?? 0);
    bar.start(total, this.#value, this.#facts());
    this.#redraw = setInterval(() => bar.update(this.#value, this.#facts()), REDRAW).unref();
    this.#erase = () => bar.stop();
  }

  #format(): string {
    if (this.#total === undefined) return this.#value === 0 ? '{label}' : '{label}  {amount}  {rate}';
    if (this.#total === 'percent') return '{label} [{bar}] {percentage}%';
    return '{label} [{bar}] {percentage}%  {amount}  {rate}  ETA {left}';
  }

  #facts(): Record<string, string> {
    const { time, value } = this.#oldest();
    const perSecond = Math.round(((this.#value - value) / Math.max(1, performance.now() - time)) * 1000);
    const facts = {
      label: shorten(this.#label),
      amount: formatSize(this.#value),
      rate: `${formatSize(perSecond)}/s`,
      left: '',
    };
    if (typeof this.#total !== 'number') return facts;
    return {
      ...facts,
      amount: `${formatSize(this.#value)} of ${formatSize(this.#total)}`,
      left: perSecond > 0 ? clock((this.#total - this.#value) / perSecond) : '-',
    };
  }

  /** Where it was some seconds ago. */
  #oldest(): { time: number; value: number } {
    const now = performance.now();
    this.#samples.push({ time: now, value: this.#value });
    while (this.#samples.length > 2 && now - (this.#samples[1]?.time ?? now) > WINDOW) this.#samples.shift();
    return this.#samples[0] ?? { time: now, value: this.#value };
  }
}

/** A label that leaves room for the bar. */
function shorten(label: string): string {
  const text = printable(label);
  return text.length > 40 ? `...${text.slice(-37)}` : text;
}

/** @returns seconds as `1:02:03` or `2:03` */
function clock(seconds: number): string {
  const whole = Math.ceil(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, '0'))).join(':');
}
