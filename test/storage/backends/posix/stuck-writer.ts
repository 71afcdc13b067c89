/** A process that begins to write a file and a draft into the archive named by its argument, and never ends. */
import { parseArchiveId } from '../../../../src/lib/archive-id.js';
import { PosixBackend } from '../../../../src/storage/backends/posix/posix-backend.js';

const backend = new PosixBackend(process.argv[2] ?? '', { useId2filename: false });
const draft = await backend.drafts.create('job', '0');
await draft.write(Buffer.alloc(100_000));

async function* stuck(): AsyncGenerator<Buffer> {
  yield Buffer.alloc(100_000);
  process.stdout.write('writing\n');
  await new Promise((resolve) => setTimeout(resolve, 1_000_000));
}
await backend.put(parseArchiveId(1), stuck());
