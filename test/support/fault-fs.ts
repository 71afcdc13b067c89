import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** A call that changes files: the function's name and the path it is about, where it is called with one. */
export interface Step {
  /** number of the call since the faults were put in, from 1 */
  readonly number: number;
  readonly name: string;
  readonly path: string | undefined;
}

/**
 * What is done to a step: an errno name makes it fail without doing anything, `short` lets a write do half of its work,
 * `slow` delays it, `never` never does it and comes back, with an error, only when the faults are ended: until then it is
 * as if the process had ended there; a function is run before it.
 */
export type Fault = 'EIO' | 'ENOSPC' | 'short' | 'slow' | 'never' | (() => void);

type AnyFunction = (...args: unknown[]) => unknown;
type Host = Record<string, unknown>;

const NAMED = ['rename', 'link', 'unlink', 'mkdir', 'rmdir', 'writeFile'] as const;
const ON_HANDLE = ['write', 'writev', 'chmod', 'utimes', 'sync'] as const;

/** Lets every call of this process that changes files pass through `plan`. Call what it returns to end that. */
export async function injectFaults(plan: (step: Step) => Fault | undefined): Promise<() => void> {
  const handle = await fs.promises.open('/dev/null');
  const prototype = Object.getPrototypeOf(handle) as Host;
  await handle.close();
  const undo: (() => void)[] = [];
  let number = 0;
  let release: () => void = () => undefined;
  const stuck = new Promise<never>((_resolve, reject) => (release = () => reject(new Error('the faults are over'))));
  stuck.catch(() => undefined);

  const replace = (host: Host, name: string, label: string, pathOf: (args: unknown[]) => string | undefined): void => {
    const original = host[name] as AnyFunction;
    host[name] = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      number += 1;
      const fault = plan({ number, name: label, path: pathOf(args) });
      await inflict(fault, label, stuck);
      return original.apply(this, fault === 'short' ? halved(label, args) : args);
    };
    undo.push(() => (host[name] = original));
  };

  for (const name of NAMED) replace(fs.promises, name, name, ([path]) => String(path));
  for (const name of ON_HANDLE) replace(prototype, name, name, () => undefined);

  const open = fs.promises.open;
  fs.promises.open = (async (path: string, flags: string | number = 'r', ...rest: unknown[]) => {
    if (typeof flags === 'string' && flags !== 'r') {
      number += 1;
      await inflict(plan({ number, name: 'open', path }), 'open', stuck);
    }
    return open(path, flags, ...(rest as []));
  }) as typeof fs.promises.open;
  undo.push(() => (fs.promises.open = open));

  const writeSync = fs.writeSync;
  fs.writeSync = ((fd: number, bytes: Uint8Array, offset: number, length: number) => {
    number += 1;
    const fault = plan({ number, name: 'writeSync', path: undefined });
    if (fault === 'EIO' || fault === 'ENOSPC') throw systemError(fault, 'write');
    // a call that does not return can not be had here; the next asynchronous one does not
    if (typeof fault === 'function') fault();
    return writeSync(fd, bytes, offset, fault === 'short' ? Math.ceil(length / 2) : length);
  }) as typeof fs.writeSync;
  undo.push(() => (fs.writeSync = writeSync));

  syncBuiltinESMExports();
  return () => {
    undo.forEach((one) => one());
    syncBuiltinESMExports();
    release();
  };
}

async function inflict(fault: Fault | undefined, call: string, stuck: Promise<never>): Promise<void> {
  if (fault === 'EIO' || fault === 'ENOSPC') throw systemError(fault, call);
  if (fault === 'slow') await new Promise((resolve) => setTimeout(resolve, 2));
  if (fault === 'never') await stuck;
  if (typeof fault === 'function') fault();
}

function systemError(code: string, call: string): Error {
  return Object.assign(new Error(`${code}: injected, ${call}`), { code });
}

/** Arguments of a write that does half of its work. */
function halved(name: string, args: unknown[]): unknown[] {
  if (name !== 'writev') return args;
  const [first, ...more] = args[0] as Uint8Array[];
  if (first === undefined) return args;
  return more.length > 0 ? [[first]] : [[first.subarray(0, Math.ceil(first.length / 2))]];
}
