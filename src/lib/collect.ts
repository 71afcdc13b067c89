import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'minor' | 'major' }) => void;

let gc: Collect | undefined;

/** Clears V8's young generation (`minor`: half a millisecond) or all of its heap (`major`: some milliseconds) now. */
export function collect(type: 'minor' | 'major'): void {
  gc ??= collector();
  gc({ type });
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  const found = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return found;
}
