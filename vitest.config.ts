import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/long/**'],
    // tests start real daemons; two cores, of which waiting for disks and clocks leaves some
    maxWorkers: 3,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // in CI a test that hangs on the moment is tried once more, and told as such ("retry x1"): each one told is to be mended
    retry: process.env.CI === undefined ? 0 : 1,
    globalSetup: ['test/support/build.ts', 'test/support/memory-folder.ts'],
  },
});
