import { constants } from 'node:fs';
import { chmod, copyFile, link, lstat, open, rm, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { syncFolder } from '../lib/durable-write.js';
import { messageOf, systemCode, wrapSystemError } from '../lib/errors.js';
import type { IngestMember } from '../storage/database/ingest-jobs.js';

/**
 * Gives a file of the archive its old name again, with its old permissions; the archive's name is then to be removed.
 * Never replaces what is at the old name by now. Can be done again after it was interrupted.
 * @param path where the archive has it
 * @returns why it can't be done; undefined when it is back
 */
export async function putBack(path: string, source: string, member: IngestMember): Promise<string | undefined> {
  try {
    await linkOrCopy(path, source, member);
    if (member.mode !== null) await chmod(source, member.mode);
    await syncFolder(dirname(source));
    return undefined;
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EEXIST') return 'since another file is at its old place';
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS'].includes(code)) {
      return `since it could not be put back (${messageOf(error)})`;
    }
    throw wrapSystemError(error, `can not put ${source} back`);
  }
}

async function linkOrCopy(path: string, source: string, member: IngestMember): Promise<void> {
  try {
    await link(path, source);
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EEXIST' && (await isSame(path, source, member))) return;
    if (code !== 'EXDEV' && code !== 'EPERM') throw error;
    await copy(path, source);
  }
}

/** @returns whether what is at the old place is the file itself, or the one that the archive's was copied from */
async function isSame(path: string, source: string, member: IngestMember): Promise<boolean> {
  const [here, there] = await Promise.all([lstat(path, { bigint: true }), lstat(source, { bigint: true })]);
  if (here.ino === there.ino && here.dev === there.dev) return true;
  const { size, mtimeMs } = await lstat(source);
  return size === member.size && Math.abs(mtimeMs - member.mtime) < 1;
}

/** Another file system: whole under a name of its own first, then by its name in one step. */
async function copy(path: string, source: string): Promise<void> {
  const temporary = join(dirname(source), `.pacifica-${randomUUID()}`);
  try {
    await copyFile(path, temporary, constants.COPYFILE_EXCL);
    const { atime, mtime } = await lstat(path);
    await chmod(temporary, 0o600);
    await utimes(temporary, atime, mtime);
    const file = await open(temporary, 'r');
    await file.sync().finally(() => file.close());
    await link(temporary, source);
  } finally {
    await rm(temporary, { force: true });
  }
}
