import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PosixBackend } from '../../../../src/storage/backends/posix/posix-backend.js';
import { storageBackendSuite, type Tenant } from '../../../contract/storage-backend.js';
import { removeFolder, temporaryFolder } from '../../../support/temporary-folder.js';
import { emptyFolders } from '../../../support/tree.js';

async function tenant(useId2filename: boolean): Promise<Tenant> {
  const folder = await temporaryFolder();
  const root = join(folder, 'archive');
  const backend = new PosixBackend(root, { useId2filename });
  return {
    backend,
    async litter() {
      const temporary = await readdir(join(root, '.pacifica', 'tmp')).catch(() => []);
      return [...temporary, ...(await emptyFolders(root, ['.pacifica']))];
    },
    dispose: () => removeFolder(folder),
  };
}

storageBackendSuite('posix, ids as names', () => tenant(false), { plainNames: true });
storageBackendSuite('posix, ids spread over folders', () => tenant(true), { plainNames: false });
