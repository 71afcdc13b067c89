import { formatSize } from '../lib/sizes.js';
import { printable } from './text.js';

/** ms before a bar is shown: what is done sooner needs none */
const PATIENCE = 1000;
/** ms between two drawings */
const REDRAW = 200;
/** ms that the rate is the mean of */
const WINDOW = 5000;
/** ms between two lines where there is no terminal */
const LINE = 3000;

/** How much there is to do, as far as it is known. */
export interface Total {
  /** bytes; `percent` when {@link Progress.label} says how far it is */
  readonly bytes?: number | 'percent';
  readonly files?: number;
  /** what is counted, where it is not files: `carts` */
  readonly unit?: string;
}

/** What a person sees of work that takes its time. */
export interface Progress {
  /** so many more bytes are done */
  add(bytes: number): void;
  /** one more file is done, or what else is counted */
  file(): void;
  /** so many bytes of all are done; the rate counts from here */
  start(bytes: number): void;
  /** shows another label from now on, and per cent of it where there are no bytes to count */
  label(text: string, percent?: number): void;
  /** Wipes the bar away until it is drawn again: before something else is written to the terminal. */
  wipe(): void;
  /** Takes the bar away. May be called twice. */
  stop(): void;
}

const SILENT: Progress = { add: ignore, file: ignore, start: ignore, label: ignore, wipe: ignore, stop: ignore };

function ignore(): void {
  // nobody looks
}

let lines = false;

/** Has every progress of this process written as a line now and then where stderr is no terminal (`--progress`). */
export function showProgressLines(): void {
  lines = true;
}

/** A bar on stderr when that is a terminal; lines after {@link showProgressLines}; nothing otherwise. */
export function startProgress(label: string, total: Total = {}): Progress {
  if (process.stderr.isTTY) return new Bar(label, total);
  return lines ? new Lines(label, total) : SILENT;
}

/** Counts what is done, and says it. */
abstract class Meter implements Progress {
  readonly #total: Total;
  #label: string;
  #bytes = 0;
  #files = 0;
  #samples: { time: number; bytes: number; files: number }[];

  constructor(label: string, total: Total) {
    this.#label = label;
    this.#total = total;
    this.#samples = [this.#sample()];
  }

  abstract stop(): void;

  wipe(): void {
    // lines end
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  file(): void {
    this.#files += 1;
  }

  start(bytes: number): void {
    this.#bytes = bytes;
    this.#samples = [this.#sample()];
  }

  label(text: string, percent?: number): void {
    this.#label = text;
    if (percent !== undefined) this.#bytes = percent;
  }

  protected get name(): string {
    return shorten(this.#label);
  }

  /** How far it is and where it ends; undefined when nobody knows the end. */
  protected get scale(): { value: number; end: number } | undefined {
    const { bytes, files } = this.#total;
    if (bytes === 'percent') return { value: this.#bytes, end: 100 };
    if (bytes !== undefined) return { value: this.#bytes, end: bytes };
    return files === undefined ? undefined : { value: this.#files, end: files };
  }

  /** Files, bytes, rate and time left: those that there are. */
  protected facts(): string {
    const { bytes, files, unit = 'files' } = this.#total;
    const perSecond = this.#perSecond();
    const facts: string[] = [];
    if (files !== undefined) facts.push(`${this.#files} of ${files} ${unit}`);
    else if (this.#files > 0) facts.push(`${this.#files} ${unit}`);
    if (bytes === 'percent') return facts.join('  ');
    if (bytes !== undefined) facts.push(`${formatSize(this.#bytes)} of ${formatSize(bytes)}`);
    else if (this.#bytes > 0) facts.push(formatSize(this.#bytes));
    if (bytes !== undefined || this.#bytes > 0) facts.push(`${formatSize(Math.round(perSecond.bytes))}/s`);
    const { value, end } = this.scale ?? { value: 0, end: undefined };
    const rate = bytes === undefined ? perSecond.files : perSecond.bytes;
    if (end !== undefined) facts.push(`ETA ${rate > 0 ? clock((end - value) / rate) : '-'}`);
    return facts.join('  ');
  }

  #sample(): { time: number; bytes: number; files: number } {
    return { time: performance.now(), bytes: this.#bytes, files: this.#files };
  }

  /** The mean of the last seconds. */
  #perSecond(): { bytes: number; files: number } {
    const now = this.#sample();
    this.#samples.push(now);
    while (this.#samples.length > 2 && now.time - (this.#samples[1]?.time ?? now.time) > WINDOW) this.#samples.shift();
    const then = this.#samples[0] ?? now;
    const seconds = Math.max(1, now.time - then.time) / 1000;
    return { bytes: (now.bytes - then.bytes) / seconds, files: (now.files - then.files) / seconds };
  }
}

class Bar extends Meter {
  readonly #patience: NodeJS.Timeout;
  #redraw: NodeJS.Timeout | undefined;
  #erase: (() => void) | undefined;
  #stopped = false;

  constructor(label: string, total: Total) {
    super(label, total);
    this.#patience = setTimeout(() => void this.#show(), PATIENCE).unref();
  }

  override wipe(): void {
    // the line of the bar has no end: what is written now would go on in it
    if (this.#erase !== undefined) process.stderr.write('\r\u001b[K');
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
    const bar = new cliProgress.SingleBar({
      stream: process.stderr,
      format: this.scale === undefined ? '{label}  {facts}' : '{label} [{bar}] {percentage}%  {facts}',
      barsize: process.stderr.columns >= 100 ? 30 : 12,
      clearOnComplete: true,
      hideCursor: false,
      linewrap: false,
      emptyOnZero: true,
    });
    const payload = (): object => ({ label: this.name, facts: this.facts() });
    bar.start(this.scale?.end ?? 0, this.scale?.value ?? 0, payload());
    this.#redraw = setInterval(() => bar.update(this.scale?.value ?? 0, payload()), REDRAW).unref();
    this.#erase = () => bar.stop();
  }
}

class Lines extends Meter {
  readonly #timer: NodeJS.Timeout;

  constructor(label: string, total: Total) {
    super(label, total);
    this.#timer = setInterval(() => this.#write(), LINE).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #write(): void {
    const { value, end } = this.scale ?? { value: 0, end: 0 };
    const percent = this.scale === undefined ? '' : `${end === 0 ? 100 : Math.floor((value / end) * 100)}%`;
    process.stderr.write(`${[this.name, percent, this.facts()].filter((part) => part !== '').join('  ')}\n`);
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
