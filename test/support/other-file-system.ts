import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';

/** @returns a folder to write to on another file system than that of temporary files, wherever these lie */
export function otherFileSystem(): string {
  const { dev } = statSync(tmpdir());
  const found = ['/tmp', '/var/tmp', '/dev/shm'].find((folder) => existsSync(folder) && statSync(folder).dev !== dev);
  if (found === undefined) throw new Error(`there is no file system beside that of ${tmpdir()}`);
  accessSync(found, constants.W_OK);
  return found;
}
