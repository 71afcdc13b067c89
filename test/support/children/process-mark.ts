/** A process that prints its mark and ends. */
import { processMark } from '../../../src/lib/process-mark.js';

console.log(processMark());
