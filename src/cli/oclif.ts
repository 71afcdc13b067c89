// All that we use of oclif, and the only file that imports it: the build makes one file of this and of all that oclif
// brings (scripts/build.mjs), since finding and opening its 170 files takes longer than running them.
export { Args, Command, Errors, execute, Flags, settings } from '@oclif/core';
export type { Hook } from '@oclif/core';
