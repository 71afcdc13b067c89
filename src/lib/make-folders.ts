import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode } from './errors.js';

/**
 * Makes a folder, and those above it that are missing. Nothing to do when it is there.
 *
 * As Node's own `mkdir` with `recursive`, which never ends where a folder can not be made because, its file system says,
 * there is no such thing: below /proc, for one.
 * @returns the topmost folder that was made here, undefined when there was none to make
 * @throws the system's error about the folder that can not be made
 */
export async function makeFolders(path: string): Promise<string | undefined> {
  try {
    return (await make(path)) ? path : undefined;
  } catch (error) {
    const above = dirname(path);
    if (systemCode(error) !== 'ENOENT' || above === path) throw error;
    const first = await makeFolders(above);
    const made = await make(path);
    return first ?? (made ? path : undefined);
  }
}

/** @returns false when it is there already */
async function make(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    // where nothing may be made some file systems say that first
    const there = await stat(path).catch(() => undefined);
    if (there?.isDirectory() === true) return false;
    throw error;
  }
}
