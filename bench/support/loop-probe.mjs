// Loaded into a daemon by --import: tells whoever started it how long its event loop was blocked since the last question.
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** ms between two looks; what is told is the time from one look to the next, so this much is in it */
const RESOLUTION = 5;

/** @returns ms that the main thread was ready to run so far, and other threads of the machine had the processors (Linux) */
function waitedForProcessor() {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6;
}

if (isMainThread && process.channel !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
  delay.enable();
  let worstOwn = 0;
  let last = performance.now();
  let waited = waitedForProcessor();
  setInterval(() => {
    const now = performance.now();
    const soFar = waitedForProcessor();
    worstOwn = Math.max(worstOwn, now - last - (soFar - waited));
    last = now;
    waited = soFar;
  }, RESOLUTION).unref();
  process.on('message', () => {
    process.send({ worst: delay.max / 1e6, own: worstOwn });
    delay.reset();
    worstOwn = 0;
  });
  // the channel must not keep a daemon alive that was told to stop
  process.channel.unref();
}
