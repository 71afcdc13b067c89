// What the disk can do: files of 4 KiB made durable as a put has to, 64 at a time, and nothing else.
// `folder files`: prints how many seconds they took.
import { constants } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';

const [folder = '', files = '0'] = process.argv.slice(2);
const AT_ONCE = 64;
const bytes = Buffer.alloc(4096, 'pacifica');

await mkdir(folder, { recursive: true });
let next = 0;
/** the sync of the folder that those wait for who ask while one runs */
let running = Promise.resolve();
let waiting;

async function syncFolder() {
  const handle = await open(folder, constants.O_RDONLY);
  await handle.sync();
  await handle.close();
}

function folderSynced() {
  waiting ??= running.then(() => {
    waiting = undefined;
    running = syncFolder();
    return running;
  });
  return waiting;
}

async function work() {
  while (next < Number(files)) {
    const name = join(folder, String(next));
    next += 1;
    const file = await open(`${name}.part`, 'wx');
    await file.write(bytes);
    await file.sync();
    await file.close();
    await rename(`${name}.part`, name);
    await folderSynced();
  }
}

const started = process.hrtime.bigint();
await Promise.all(Array.from({ length: AT_ONCE }, work));
console.log(Number(process.hrtime.bigint() - started) / 1e9);
