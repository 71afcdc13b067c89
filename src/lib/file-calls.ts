import {
  type BigIntStats,
  close,
  closeSync,
  fchmod,
  fchmodSync,
  fstat,
  fstatSync,
  fsync,
  futimes,
  futimesSync,
  link,
  linkSync,
  type Mode,
  type NoParamCallback,
  open,
  openSync,
  type OpenMode,
  rename,
  renameSync,
  stat,
  statSync,
  type TimeLike,
  unlink,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs';
import { memoryTakes } from './dirty-pages.js';

/**
 * Calls of the file system that are answered from memory as a rule: names, modes, times, some KiB. They are made at
 * once, in the calling thread, as long as the file system answers at once: the way through Node's thread pool and back
 * costs more than the call (measured: 15 microseconds to 1 to 10). A file system that lets one call wait (a cold disk,
 * NFS, a journal that is full) gets the following ones through the thread pool, so that it holds up nobody else; and so do
 * those of one turn of the event loop that take some milliseconds together (64 uploads that begin at once).
 *
 * The functions throw what Node's throw. Whoever closes a descriptor waits first for what is under way on it.
 */

/** ms that calls may take, on the average of the last twenty or so, and still count as answered at once */
const AT_ONCE = 1;
const WEIGHT = 1 / 20;
/** ms for which calls go through the thread pool when they took longer */
const PAUSE = 1000;
/** ms that all calls of one turn of the event loop may take; the rest of the turn goes through the thread pool */
const TURN = 20;

/** most bytes that are written at once: copying them takes a fraction of a millisecond */
const MUCH = 256 * 1024;

let average = 0;
let slowUntil = -Infinity;
/** ms that calls took in this turn, which is looked at since its first call */
let taken = 0;
let counting = false;

type Callback<T> = (error: Error | null, value: T) => void;

function call<T>(now: () => T, later: (done: Callback<T>) => void, waits = isBusy()): Promise<T> {
  if (waits) return inThreadPool(later);
  return new Promise((resolve) => resolve(timed(now)));
}

function timed<T>(calls: () => T): T {
  const started = performance.now();
  try {
    return calls();
  } finally {
    note(performance.now(), started);
  }
}

/** @returns whether the file system lets calls wait */
function isSlow(): boolean {
  return performance.now() < slowUntil;
}

/** @returns whether one more call would let the calling thread wait too long */
function isBusy(): boolean {
  return taken >= TURN || isSlow();
}

function note(now: number, started: number): void {
  if (!counting) setImmediate(() => ([counting, taken] = [false, 0]));
  counting = true;
  taken += now - started;
  average += (now - started - average) * WEIGHT;
  if (average <= AT_ONCE) return;
  average = 0;
  slowUntil = now + PAUSE;
}

function inThreadPool<T>(later: (done: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    later((error, value) => {
      if (error === null) resolve(value);
      else reject(error);
    });
  });
}

/**
 * Makes calls of Node's in the calling thread, where a promise for each would cost as much as the call does.
 * @returns undefined when the file system lets calls wait: none was made, they are for the functions below
 */
export function atOnce<T>(calls: () => T): T | undefined {
  return isBusy() ? undefined : timed(calls);
}

/** Callbacks of calls that give nothing. */
function nothing(done: Callback<void>): NoParamCallback {
  return (error) => done(error, undefined);
}

/** @returns a descriptor */
export function openFile(path: string, flags: OpenMode, mode?: Mode): Promise<number> {
  return call(
    () => openSync(path, flags, mode),
    (done) => open(path, flags, mode, done),
  );
}

/** @param isLarge the file may have lost its name, and its bytes be freed by this */
export function closeFile(fd: number, isLarge = false): Promise<void> {
  const later = (done: Callback<void>): void => close(fd, (error) => done(error ?? null, undefined));
  return isLarge ? inThreadPool(later) : call(() => closeSync(fd), later);
}

export function statFile(fd: number): Promise<BigIntStats> {
  return call(
    () => fstatSync(fd, { bigint: true }),
    (done) => fstat(fd, { bigint: true }, done),
  );
}

export function statPath(path: string): Promise<BigIntStats> {
  return call(
    () => statSync(path, { bigint: true }),
    (done) => stat(path, { bigint: true }, done),
  );
}

/** For a few KiB, at the descriptor's place. @returns bytes written, which may be less */
export function writeSome(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  return call(
    () => writeSync(fd, bytes, offset, bytes.length - offset),
    (done) => write(fd, bytes, offset, bytes.length - offset, null, done),
  );
}

/**
 * Writes bytes of a large file, at the descriptor's place: at once where that is only a copy to memory, since a disk that
 * can not follow lets a write wait for as long as it takes.
 * @returns bytes written, which may be less
 */
export function writeMuch(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  const length = Math.min(MUCH, bytes.length - offset);
  const later = (done: Callback<number>): void => write(fd, bytes, offset, length, null, done);
  // how much comes in one turn is limited where it comes from
  return call(() => writeSync(fd, bytes, offset, length), later, isSlow() || !memoryTakes(length));
}

/** As {@link writeMuch}, beside this thread. */
export function writeAside(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  return inThreadPool((done) => write(fd, bytes, offset, bytes.length - offset, null, done));
}

/** Writes at a place of the file, beside this thread. @returns bytes written, which may be less */
export function writeAt(fd: number, bytes: Uint8Array, offset: number, position: number): Promise<number> {
  return inThreadPool((done) => write(fd, bytes, offset, bytes.length - offset, position, done));
}

export function changeMode(fd: number, mode: Mode): Promise<void> {
  return call(
    () => fchmodSync(fd, mode),
    (done) => fchmod(fd, mode, nothing(done)),
  );
}

export function changeTimes(fd: number, atime: TimeLike, mtime: TimeLike): Promise<void> {
  return call(
    () => futimesSync(fd, atime, mtime),
    (done) => futimes(fd, atime, mtime, nothing(done)),
  );
}

export function renameFile(from: string, to: string): Promise<void> {
  return call(
    () => renameSync(from, to),
    (done) => rename(from, to, nothing(done)),
  );
}

export function linkFile(from: string, to: string): Promise<void> {
  return call(
    () => linkSync(from, to),
    (done) => link(from, to, nothing(done)),
  );
}

export function unlinkFile(path: string): Promise<void> {
  return call(
    () => unlinkSync(path),
    (done) => unlink(path, nothing(done)),
  );
}

/** Waits for the disk, and never in the calling thread. */
export function syncFile(fd: number): Promise<void> {
  return inThreadPool((done) => fsync(fd, nothing(done)));
}
