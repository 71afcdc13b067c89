import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Makes an empty folder for a test. Remove it with {@link removeFolder}. */
export async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'pacifica-test-'));
}

export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}
