import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { removeFolder, temporaryFolder } from './temporary-folder.js';

/** Any server that speaks MongoDB's protocol: `mongodb://127.0.0.1:27017/`. Without one its tests are skipped by name. */
export const mongoUrl = process.env.PACIFICA_TEST_MONGODB_URL;

// in CI nothing is skipped
if (mongoUrl === undefined && process.env.CI !== undefined) {
  throw new Error("PACIFICA_TEST_MONGODB_URL must name a server that speaks MongoDB's protocol; .ci/run starts one");
}

/** FerretDB, built from .ci/ferretdb: a server that can be stopped and started again. */
const program = process.env.PACIFICA_TEST_FERRETDB;

/** A FerretDB in a temporary folder, on a free port of this machine. */
export interface TestFerret {
  readonly url: string;
  /** Kills the server; connections break. */
  down(): Promise<void>;
  /** Starts it again, with its data and on its port. */
  up(): Promise<void>;
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
}

/** Starts a FerretDB. @returns undefined when PACIFICA_TEST_FERRETDB does not name the program */
export async function startFerret(): Promise<TestFerret | undefined> {
  if (program === undefined) return undefined;
  const folder = await temporaryFolder();
  const start = async (address: string): Promise<{ child: ChildProcess; url: string }> => {
    const child = spawn(program, [address, folder], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    return { child, url: line };
  };
  const first = await start('127.0.0.1:0');
  let { child } = first;
  const down = async (): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return {
    url: first.url,
    down,
    async up() {
      ({ child } = await start(new URL(first.url).host));
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) await down();
      await removeFolder(folder);
    },
  };
}
