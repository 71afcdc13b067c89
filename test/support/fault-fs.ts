import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** A call that changes files: the function's name and the path it is about, where it is called with one. */
export interface Step {
  /** number of the call since the faults were put in, from 1 */
  readonly number: number;
  readonly name: string;
  /** of a sync: that of what is synced, as far as this system tells (Linux) */
  readonly path: string | undefined;
}

/**
 * What is done to a step: an errno name makes it fail without doing anything, `short` lets a write do half of its work,
 * `slow` delays it, `never` never does it, nor anything that comes after it, until the faults are ended: as if the
 * process had ended there; a function is run before it.
 */
export type Fault = 'EIO' | 'ENOSPC' | 'EINVAL' | 'short' | 'slow' | 'never' | (() => void);

type AnyFunction = (...args: unknown[]) => unknown;
type Host = Record<string, unknown>;

/** functions of fs/promises that take a path */
const NAMED = ['rename', 'link', 'unlink', 'mkdir', 'rmdir', 'writeFile'] as const;
const ON_HANDLE = ['write', 'writev', 'chmod', 'utimes', 'sync'] as const;
/** functions of fs, by their callback forms; those that wait for the disk are not called in the other form */
const PLAIN = {
  open: 'open',
  write: 'write',
  writev: 'writev',
  fchmod: 'chmod',
  futimes: 'utimes',
  fsync: 'sync',
  rename: 'rename',
  link: 'link',
  unlink: 'unlink',
} as const;
const WITH_PATH: ReadonlySet<string> = new Set(['open', 'rename', 'link', 'unlink']);
const SLOW = 2;

/** Lets every call of this process that changes files pass through `plan`. Call what it returns to end that. */
export async function injectFaults(plan: (step: Step) => Fault | undefined): Promise<() => void> {
  const handle = await fs.promises.open('/dev/null');
  const prototype = Object.getPrototypeOf(handle) as Host;
  await handle.close();
  const undo: (() => void)[] = [];
  let number = 0;
  let hasEnded = false;
  let release: () => void = () => undefined;
  const stuck = new Promise<never>((_resolve, reject) => (release = () => reject(new Error('the faults are over'))));
  stuck.catch(() => undefined);

  const faultOf = (name: string, path: string | undefined): Fault | undefined => {
    number += 1;
    const fault = plan({ number, name, path });
    hasEnded ||= fault === 'never';
    return hasEnded ? 'never' : fault;
  };
  const replace = (host: Host, name: string, make: (original: AnyFunction) => AnyFunction): void => {
    const original = host[name] as AnyFunction;
    host[name] = make(original);
    undo.push(() => (host[name] = original));
  };

  const asPromise = (host: Host, name: string, pathOf: (args: unknown[], self: unknown) => string | undefined): void =>
    replace(
      host,
      name,
      (original) =>
        async function (this: unknown, ...args: unknown[]): Promise<unknown> {
          const fault = faultOf(name, pathOf(args, this));
          await inflict(fault, name, stuck);
          return original.apply(this, fault === 'short' ? halved(args) : args);
        },
    );
  for (const name of NAMED) asPromise(fs.promises, name, ([path]) => String(path));
  for (const name of ON_HANDLE) {
    asPromise(prototype, name, (_, handle) =>
      name === 'sync' ? pathOfDescriptor((handle as fs.promises.FileHandle).fd) : undefined,
    );
  }
  replace(fs.promises, 'open', (original) => async (...args) => {
    if (changes(args[1])) await inflict(faultOf('open', String(args[0])), 'open', stuck);
    return original(...args);
  });

  for (const [name, label] of Object.entries(PLAIN)) {
    const pathOf = ([first]: unknown[]): string | undefined =>
      WITH_PATH.has(name) ? String(first) : name === 'fsync' ? pathOfDescriptor(Number(first)) : undefined;
    replace(fs, name, (original) => (...args) => {
      if (name === 'open' && !changes(args[1])) return original(...args);
      const fault = faultOf(label, pathOf(args));
      const callback = args.at(-1) as (error: unknown) => void;
      inflict(fault, label, stuck).then(() => original(...(fault === 'short' ? halved(args) : args)), callback);
      return undefined;
    });
    replace(fs, `${name}Sync`, (original) => (...args) => {
      if (name === 'open' && !changes(args[1])) return original(...args);
      const fault = faultOf(label, pathOf(args));
      inflictAtOnce(fault, label);
      return original(...(fault === 'short' ? halved(args) : args));
    });
  }

  syncBuiltinESMExports();
  return () => {
    undo.forEach((one) => one());
    syncBuiltinESMExports();
    release();
  };
}

function pathOfDescriptor(descriptor: number): string | undefined {
  try {
    return fs.readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}

/** @param flags what a file is opened with; numbers are only used for reading */
function changes(flags: unknown): boolean {
  return typeof flags === 'string' && flags !== 'r';
}

async function inflict(fault: Fault | undefined, call: string, stuck: Promise<never>): Promise<void> {
  if (isErrno(fault)) throw systemError(fault, call);
  if (fault === 'slow') await new Promise((resolve) => setTimeout(resolve, SLOW));
  if (fault === 'never') await stuck;
  if (typeof fault === 'function') fault();
}

function inflictAtOnce(fault: Fault | undefined, call: string): void {
  if (isErrno(fault)) throw systemError(fault, call);
  if (fault === 'slow') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SLOW);
  // a call that does not return can not be had here; those after it do nothing either
  if (fault === 'never') throw new Error('the process has ended');
  if (typeof fault === 'function') fault();
}

/** Arguments of a write that does half of its work; others as they are. */
function halved(args: unknown[]): unknown[] {
  if (Array.isArray(args[0])) return [half(args[0] as Uint8Array[]), ...args.slice(1)];
  const [fd, bytes, ...rest] = args;
  if (Array.isArray(bytes)) return [fd, half(bytes as Uint8Array[]), ...rest];
  const [offset, length, ...others] = rest;
  if (!(bytes instanceof Uint8Array) || typeof length !== 'number') return args;
  return [fd, bytes, offset, Math.ceil(length / 2), ...others];
}

function half(pieces: Uint8Array[]): Uint8Array[] {
  const [first, ...more] = pieces;
  if (first === undefined) return pieces;
  return more.length > 0 ? [first] : [first.subarray(0, Math.ceil(first.length / 2))];
}

function isErrno(fault: Fault | undefined): fault is 'EIO' | 'ENOSPC' | 'EINVAL' {
  return fault === 'EIO' || fault === 'ENOSPC' || fault === 'EINVAL';
}

function systemError(code: string, call: string): Error {
  return Object.assign(new Error(`${code}: injected, ${call}`), { code });
}
