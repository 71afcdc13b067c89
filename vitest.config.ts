import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Small files that take long: most of what they run is in test/contract/, or is waiting. */
const LONG =
  /(jobs\/(mongo|postgres|sqlite)(-processes)?|e2e\/(kill|services-down)|docs\/bulk-ingest|lint\/imports)\.test\.ts$/;

/** Where nothing was measured yet vitest begins with the largest files; a long one at the end keeps all others waiting. */
class LongOnesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => Number(LONG.test(b.moduleId)) - Number(LONG.test(a.moduleId)));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/long/**'],
    // tests start real daemons; two cores, of which waiting for disks and clocks leaves some
    maxWorkers: 3,
    sequence: { sequencer: LongOnesFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // in CI a test that hangs on the moment is tried once more, and told as such ("retry x1"): each one told is to be mended
    retry: process.env.CI === undefined ? 0 : 1,
    globalSetup: ['test/support/build.ts', 'test/support/memory-folder.ts'],
  },
});
