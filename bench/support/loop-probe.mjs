// Loaded into a daemon by --import: tells whoever started it how long its event loop was blocked since the last question.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** ms between two looks; what is told is the time from one look to the next, so this much is in it */
const RESOLUTION = 5;

if (isMainThread && process.channel !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
  delay.enable();
  process.on('message', () => {
    process.send({ worstMs: delay.max / 1e6 });
    delay.reset();
  });
  // the channel must not keep a daemon alive that was told to stop
  process.channel.unref();
}
