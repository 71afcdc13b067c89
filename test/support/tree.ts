import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** @returns paths of the folders below `folder` that hold nothing, those named in `except` left out */
export async function emptyFolders(folder: string, except: readonly string[] = []): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isDirectory() || except.includes(entry.name)) continue;
    const path = join(folder, entry.name);
    if ((await readdir(path)).length === 0) found.push(path);
    found.push(...(await emptyFolders(path, except)));
  }
  return found;
}

/** @returns paths of all files below `folder`, relative to it, sorted */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
