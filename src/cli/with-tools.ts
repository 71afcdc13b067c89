import type { Config } from '../config/load.js';
import type { Patience } from '../lib/persist.js';
import type { Tools } from '../wiring.js';

/** Opens carts, ingests and the queue of this machine for one piece of work, as admin commands do, daemons or not. */
export async function withTools<T>(config: Config, patience: Patience, work: (tools: Tools) => Promise<T>): Promise<T> {
  // it brings all services along: not for a command line that is wrong
  const { openTools } = await import('../wiring.js');
  const tools = await openTools(config, patience);
  try {
    return await work(tools);
  } finally {
    await tools.close();
  }
}
