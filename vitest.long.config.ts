import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/long/**/*.test.ts'],
    // one at a time: they measure memory and kill processes
    fileParallelism: false,
    testTimeout: 30 * 60_000,
    hookTimeout: 120_000,
    globalSetup: ['test/support/build.ts'],
  },
});
