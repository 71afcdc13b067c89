import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BundleFile, makeBundle, sha1File } from '../support/bundle.js';
import { cartOf, ingest, type JobState } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';

let home: string;
let daemon: Daemon;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-main-'));
  daemon = await startServe(join(home, 'data'));
});
afterAll(async () => {
  expect(await daemon.stop()).toBe(0);
  rmSync(home, { recursive: true, force: true });
});

const files: BundleFile[] = [
  { path: 'read me.txt', content: 'with a space\n' },
  { path: 'Messung/Größe-Ω 1.csv', content: 'ä,ö,ü\n'.repeat(1000) },
  { path: 'empty.dat', content: '' },
  { path: 'a/b/c/deep.bin', content: Buffer.alloc(3_000_000, 'deep') },
];

describe.each(['first', 'last'] as const)('a bundle of GNU tar with metadata.txt %s, sent by curl', (metadata) => {
  let job: JobState;
  const bytes = files.map((file) => ({
    ...file,
    content: Buffer.concat([Buffer.from(file.content), Buffer.from(metadata)]),
  }));
  // nothing may make the two rounds share a hash, except the wish to test it
  let sums: Map<string, string>;

  it('is taken and reaches its end', async () => {
    const bundle = makeBundle(home, bytes, { metadata });
    sums = bundle.sums;
    job = await ingest(daemon, bundle.file);
    expect(job).toMatchObject({ state: 'OK', task: 'ingest metadata', complete: true, exception: '' });
    expect(Number(job.task_percent)).toBe(100);
  });

  it('gives every file back by its hash, with its name', () => {
    for (const [path, sum] of sums) {
      const out = mkdtempSync(join(home, 'proxy-'));
      const headers = execFileSync(
        'curl',
        ['-sSf', '-D', '-', '-o', join(out, 'file'), `${daemon.urls.proxy}/files/sha1/${sum}`],
        {
          encoding: 'utf8',
        },
      );
      expect(execFileSync('sha1sum', [join(out, 'file')], { encoding: 'utf8' }).slice(0, 40), path).toBe(sum);
      expect(headers.toLowerCase()).toContain('content-disposition: attachment; filename');
    }
  });

  it('comes back whole as a cart that GNU tar unpacks', async () => {
    const { fileids } = await cartOf(daemon, job.job_id);
    expect(fileids).toHaveLength(sums.size);
    const list = join(home, 'list.json');
    writeFileSync(list, JSON.stringify({ fileids }));
    const uid = execFileSync('node', ['bin/run.js', 'cart', 'create', '--file', list, '--wait'], {
      encoding: 'utf8',
      env: { ...process.env, PACIFICA_CART_URL: daemon.urls.cart },
    }).trim();
    const out = join(home, `out-${metadata}`);
    mkdirSync(out);
    execFileSync('curl', ['-sSf', '-O', '-J', `${daemon.urls.cart}/${uid}?filename=my_cart.tar`], { cwd: out });
    execFileSync('tar', ['xf', 'my_cart.tar'], { cwd: out });
    for (const [path, sum] of sums) expect(sha1File(join(out, 'my_cart', path)), path).toBe(sum);
  });
});

describe('a bundle that is wrong', () => {
  it('ends FAILED with the name and both hashes of a file that does not match, and nothing of it is visible', async () => {
    const wrong = 'deadbeef'.repeat(5);
    const bundle = makeBundle(
      home,
      [
        { path: 'good.txt', content: 'unique good content' },
        { path: 'x/bad file.txt', content: 'unique bad content' },
      ],
      {
        change: (entries) =>
          entries.map((entry) =>
            'name' in entry && entry.name === 'bad file.txt' ? { ...entry, hashsum: wrong } : entry,
          ),
      },
    );
    const before = archived();
    const job = await ingest(daemon, bundle.file);
    expect(job.state).toBe('FAILED');
    expect(job.exception).toContain('x/bad file.txt');
    expect(job.exception).toContain(wrong);
    expect(job.exception).toContain(bundle.sums.get('x/bad file.txt'));
    for (const sum of [...bundle.sums.values(), wrong]) {
      expect((await fetch(`${daemon.urls.proxy}/files/sha1/${sum}`)).status).toBe(404);
    }
    expect(archived()).toEqual(before);
  });
});

/** @returns names of the files that can be seen in the archive */
function archived(): string[] {
  return readdirSync(join(home, 'data/archive')).filter((name) => !name.startsWith('.'));
}
