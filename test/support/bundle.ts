import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface BundleFile {
  /** path below data/ */
  path: string;
  content: Buffer | string;
}

export interface MadeBundle {
  /** the tar */
  file: string;
  /** sha1 by path below data/, as sha1sum sees it */
  sums: Map<string, string>;
}

/**
 * Makes a bundle as a person would by hand: files, sha1sum, a metadata.txt and GNU tar.
 * @param options.metadata where metadata.txt stands in the tar
 * @param options.change changes the metadata before it is written
 */
export function makeBundle(
  folder: string,
  files: readonly BundleFile[],
  {
    metadata = 'last',
    change = (entries) => entries,
  }: { metadata?: 'first' | 'last'; change?: (entries: object[]) => object[] } = {},
): MadeBundle {
  const work = mkdtempSync(join(folder, 'bundle-'));
  const sums = new Map<string, string>();
  const entries: object[] = [
    { destinationTable: 'Transactions.submitter', value: 10 },
    { destinationTable: 'Transactions.project', value: '1234a' },
    { destinationTable: 'Transactions.instrument', value: 54 },
    { destinationTable: 'TransactionKeyValue', key: 'Temp C', value: '27' },
  ];
  for (const { path, content } of files) {
    const target = join(work, 'data', path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, content);
  }
  const summed = sha1sums(
    join(work, 'data'),
    files.map(({ path }) => path),
  );
  for (const [index, { path }] of files.entries()) {
    const target = join(work, 'data', path);
    const sum = summed[index] ?? '';
    sums.set(path, sum);
    entries.push({
      destinationTable: 'Files',
      name: basename(path),
      subdir: join('data', dirname(path)),
      size: statSync(target).size,
      mimetype: 'application/octet-stream',
      hashtype: 'sha1',
      hashsum: sum,
      ctime: 'Tue Nov 29 14:09:05 PST 2016',
      mtime: '2016-11-29T14:09:05',
    });
  }
  writeFileSync(join(work, 'metadata.txt'), JSON.stringify(change(entries)));
  const file = join(work, 'bundle.tar');
  const order = metadata === 'first' ? ['metadata.txt', 'data'] : ['data', 'metadata.txt'];
  execFileSync('tar', ['cf', file, '-C', work, ...order]);
  return { file, sums };
}

/** Asks sha1sum of all files at once: a process for each takes longer than what some tests are about. */
function sha1sums(folder: string, paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  const lines = execFileSync('sha1sum', ['-z', '--', ...paths], { cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 28 });
  return lines.split('\0').map((line) => line.slice(0, 40));
}

/** @returns sha1 of a buffer in hex */
export function sha1(content: Buffer): string {
  return createHash('sha1').update(content).digest('hex');
}

/** @returns sha1 of a file in hex */
export function sha1File(file: string): string {
  return sha1(readFileSync(file));
}
