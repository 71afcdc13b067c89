import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { systemCode } from './errors.js';

/**
 * A name for a running process that tells it from every other one, before and after it, on this and other machines:
 * `<machine>.<pid>.<start time>`. Files named by it can be told from the litter of a process that died.
 */
export function processMark(): string {
  return (own ??= `${machine()}.${process.pid}.${startOf(process.pid) ?? '0'}`);
}

let own: string | undefined;

/**
 * Tells whether the process of a mark runs no more.
 * @returns undefined when that can not be known from here: it is of another machine, container or boot, or no mark
 */
export function isDead(mark: string): boolean | undefined {
  const match = /^([0-9a-f]+)\.([0-9]+)\.([0-9]+)$/.exec(mark);
  if (match?.[1] !== machine()) return undefined;
  const pid = Number(match[2]);
  const start = startOf(pid);
  if (start !== undefined) return start !== match[3];
  if (startOf(process.pid) !== undefined) return true;
  // no /proc on this system: a process of that number is taken for the one
  return !exists(pid);
}

/** Host, boot and process namespace: within one of these, process numbers and start times mean the same for everybody. */
function machine(): string {
  machineId ??= createHash('sha256')
    .update([hostname(), read('/proc/sys/kernel/random/boot_id'), link('/proc/self/ns/pid')].join('\n'))
    .digest('hex')
    .slice(0, 12);
  return machineId;
}

let machineId: string | undefined;

/** @returns clock ticks between boot and the start of the process (proc(5), stat, field 22), undefined when it does not run */
function startOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // the second field is the program's name in brackets, which may contain anything; state is the first one after it
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : fields[19];
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
