/** A process that makes a change (see changes.ts) and is killed before step N of it: `root folder change N`. */
import { PosixBackend } from '../../../../src/storage/backends/posix/posix-backend.js';
import { injectFaults } from '../../../support/fault-fs.js';
import { type Change, changes } from './changes.js';

const [root = '', folder = '', name = '', number = ''] = process.argv.slice(2);
const change = new Map<string, Change>(Object.entries(changes)).get(name);
const backend = new PosixBackend(root, { useId2filename: true });
await injectFaults((step) => (step.number === Number(number) ? () => process.kill(process.pid, 'SIGKILL') : undefined));
await change?.run(backend, folder);
process.stdout.write('done\n');
