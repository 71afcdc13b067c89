import { closeSync, openSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type Daemon, startDaemon } from '../support/serve.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

/** Linux: every write to it fails with ENOSPC, as one to a file on a full disk does. */
const FULL = '/dev/full';

/** Runs a daemon, asks it many things that it logs, and stops it. */
async function useDaemon(env: NodeJS.ProcessEnv, stderr: 'pipe' | number): Promise<void> {
  const folder = await temporaryFolder();
  let daemon: Daemon | undefined;
  try {
    daemon = await startDaemon(['archive', 'serve', '--data-dir', folder, '--port', '0'], env, stderr);
    for (let number = 0; number < 20; number += 1) {
      const file = `${daemon.urls.archive}/${number}`;
      const signal = AbortSignal.timeout(10_000);
      expect((await fetch(file, { method: 'PUT', body: 'abc', signal })).status).toBe(201);
      expect(await (await fetch(file, { signal })).text()).toBe('abc');
    }
    expect(await daemon.stop()).toBe(0);
  } finally {
    await daemon?.stop('SIGKILL');
    await removeFolder(folder);
  }
}

it.runIf(process.platform === 'linux')(
  'works on when the disk of its stderr is full, and stops when told to',
  async () => {
    const full = openSync(FULL, 'w');
    try {
      await useDaemon({}, full);
    } finally {
      closeSync(full);
    }
  },
);

it.runIf(process.platform === 'linux').each(['error', 'access'])(
  'works on when the disk of its %s log is full, and stops when told to',
  async (name) => {
    await useDaemon({ [`PACIFICA_LOG_${name.toUpperCase()}_FILE`]: FULL }, 'pipe');
  },
);
