import { accessSync, chmodSync, constants, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDead, processMark } from '../../src/lib/process-mark.js';

const MEMORY = '/dev/shm';
const PREFIX = 'pacifica-tests-';
/** bytes that have to be free there: several times what all tests together have at a time */
const ROOM = 4 * 1024 ** 3;

/**
 * Lets the tests' temporary files lie in memory where there is room: they make and delete many thousands of small ones,
 * which takes some disks as long as everything else takes. Who sets TMPDIR is obeyed.
 */
export default function useMemory(): (() => void) | undefined {
  if (process.env.TMPDIR !== undefined || !hasRoom()) return undefined;
  removeLeavings();
  const folder = join(MEMORY, `${PREFIX}${processMark()}`);
  mkdirSync(folder);
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  if (!canRunPrograms(folder)) {
    remove();
    return undefined;
  }
  // PostgreSQL, which does not run as root, passes through
  chmodSync(folder, 0o711);
  process.env.TMPDIR = folder;
  console.log(`temporary files lie in memory: ${folder} (set TMPDIR for another place)`);
  return remove;
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    accessSync(MEMORY, constants.W_OK);
    return bavail * bsize >= ROOM;
  } catch {
    return false;
  }
}

/** Runs that were killed leave their files, and memory is dearer than disk. */
function removeLeavings(): void {
  for (const name of readdirSync(MEMORY))
    if (name.startsWith(PREFIX) && isDead(name.slice(PREFIX.length)) === true)
      rmSync(join(MEMORY, name), { recursive: true, force: true });
}

/** Containers have it mounted with noexec, and some tests make programs. */
function canRunPrograms(folder: string): boolean {
  const program = join(folder, 'program');
  writeFileSync(program, '', { mode: 0o755 });
  try {
    accessSync(program, constants.X_OK);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(program);
  }
}
