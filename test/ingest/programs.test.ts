import { execFileSync, spawnSync } from 'node:child_process';
import { createReadStream, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import type { StateRecord } from '../../src/ingest/state.js';
import { hashReader } from '../../src/lib/digest.js';
import { fileEntry, type IngestSite, startIngest, TRANSACTION } from '../support/ingest.js';

// whole bundles as other programs write them

const LONG = `${'größe 日本/'.repeat(18)}${'ü'.repeat(20)}.dat`;
const FILES: Record<string, string | Buffer> = {
  'a/b.txt': 'b',
  'a/empty': '',
  [LONG]: 'a path of 280 bytes and more',
  'with space/größe Ω.bin': Buffer.alloc(300_000, 'x'),
};

const PYTHON = `
import sys, tarfile
with tarfile.open(sys.argv[2], 'w', format=getattr(tarfile, sys.argv[1])) as tar:
    for name in ('data', 'metadata.txt'):
        tar.add(name)
`;

let site: IngestSite;
let work: string;
beforeAll(async () => {
  site = await startIngest();
  work = join(site.folder, 'work');
  for (const [path, content] of Object.entries(FILES)) {
    const file = join(work, 'data', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  mkdirSync(join(work, 'data/empty folder'));
  const entries = Object.entries(FILES).map(([path, content]) => fileEntry(path, content));
  writeFileSync(join(work, 'metadata.txt'), JSON.stringify([...TRANSACTION, ...entries]));
});
afterAll(() => site.close());

const PROGRAMS: [name: string, words: string[]][] = [
  ['GNU tar, gnu', ['tar', 'cf', 'OUT', '--format=gnu', 'data', 'metadata.txt']],
  ['GNU tar, posix', ['tar', 'cf', 'OUT', '--format=posix', 'metadata.txt', 'data']],
  ['bsdtar', ['bsdtar', 'cf', 'OUT', 'data', 'metadata.txt']],
  ['bsdtar, gnutar', ['bsdtar', 'cf', 'OUT', '--format', 'gnutar', 'data', 'metadata.txt']],
  ['Python, GNU', ['python3', '-c', PYTHON, 'GNU_FORMAT', 'OUT']],
  ['Python, pax', ['python3', '-c', PYTHON, 'PAX_FORMAT', 'OUT']],
];

for (const [name, [program = '', ...words]] of PROGRAMS) {
  const isMissing = spawnSync(program, ['--version']).error !== undefined;
  it.skipIf(isMissing)(`${name}: long names, empty files and folders, every byte`, async () => {
    expect(Buffer.byteLength(`data/${LONG}`)).toBeGreaterThanOrEqual(280);
    const tar = join(site.folder, `${name}.tar`);
    execFileSync(
      program,
      words.map((word) => (word === 'OUT' ? tar : word)),
      { cwd: work },
    );
    const { record } = await site.service.receive(createReadStream(tar), { user: 'root' });
    await site.run(record.job_id);
    expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', complete: true, exception: '' });
    const sums = new Map<string, string>();
    for (const { _id, subdir, name: base } of await site.catalog.metadata.files({ transaction: record.job_id })) {
      const file = await site.archive.open(parseArchiveId(_id));
      sums.set(`${subdir}/${base}`, await hashReader(file.reader, 'sha1'));
      await file.close();
    }
    // as sha1sum sees what was packed
    const paths = Object.keys(FILES);
    const lines = execFileSync('sha1sum', ['-z', ...paths], { cwd: join(work, 'data'), encoding: 'utf8' }).split('\0');
    const expected = lines.filter((line) => line !== '').map((line) => [line.slice(42), line.slice(0, 40)] as const);
    expect(sums).toEqual(new Map(expected));
  });
}

it.skipIf(spawnSync('bsdtar', ['--version']).error !== undefined)(
  'a file with holes, which bsdtar stores without them: refused with a remedy that works',
  async () => {
    const folder = join(site.folder, 'holes');
    mkdirSync(join(folder, 'data'), { recursive: true });
    const file = join(folder, 'data/hölzern');
    writeFileSync(file, 'begins');
    truncateSync(file, 4_000_000);
    const content = Buffer.alloc(4_000_000);
    content.write('begins');
    writeFileSync(join(folder, 'metadata.txt'), JSON.stringify([...TRANSACTION, fileEntry('hölzern', content)]));
    const send = async (...flags: string[]): Promise<StateRecord> => {
      const tar = join(site.folder, 'holes.tar');
      execFileSync('bsdtar', ['c', ...flags, '-f', tar, 'data', 'metadata.txt'], { cwd: folder });
      const { record } = await site.service.receive(createReadStream(tar), { user: 'root' });
      await site.run(record.job_id);
      return site.state(record.job_id);
    };
    const refused = await send();
    expect(refused).toMatchObject({ state: 'FAILED', task: 'open tar' });
    expect(refused.exception).toMatch(/^member "data\/hölzern" is stored sparse \(.*bsdtar.*--no-read-sparse/);
    expect(await send('--no-read-sparse')).toMatchObject({ state: 'OK', complete: true, exception: '' });
  },
);
