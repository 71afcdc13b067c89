import type { Import, ImportOptions, OriginalTables } from '../storage/database/originals.js';
import type { UniqueIndex } from '../storage/database/unique-index.js';

/** Takes over the counters of an original unique id service. None of ours goes back. */
export async function importUniqueIds(
  original: OriginalTables,
  numbers: UniqueIndex,
  { dryRun, onLeftOut }: ImportOptions,
): Promise<Import> {
  const result: Import = { imported: 0, present: 0, leftOut: 0 };
  for (const { mode, next } of await original.uniqueIndexes()) {
    if (!Number.isSafeInteger(next) || next < 0) {
      result.leftOut += 1;
      onLeftOut(`mode ${mode}: ${next} is no number that can be handed out`);
    } else if (((await numbers.next(mode)) ?? 0) >= next) result.present += 1;
    else {
      // ids begin with 1 here: old code takes 0 for none
      if (!dryRun) await numbers.raise(mode, Math.max(1, next));
      result.imported += 1;
    }
  }
  return result;
}
