// All that we use of oclif, and the only file that imports it: bin/run.js loads the same one as the commands.
export { Args, Command, Errors, execute, Flags, settings } from '@oclif/core';
export type { Hook } from '@oclif/core';
