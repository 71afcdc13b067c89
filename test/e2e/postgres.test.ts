import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { makeBundle, sha1 } from '../support/bundle.js';
import { cartEnd, cartOf, ingest, postCart } from '../support/main-job.js';
import { startPostgres } from '../support/postgres.js';
import { startServe } from '../support/serve.js';

const postgres = await startPostgres();
const home = mkdtempSync(join(tmpdir(), 'pacifica-postgres-main-'));
afterAll(async () => {
  await postgres?.stop();
  rmSync(home, { recursive: true, force: true });
});

describe.skipIf(postgres === undefined)('the main job on PostgreSQL', () => {
  it('goes all the way, shared by two daemons, with no SQLite file', async () => {
    const url = (await postgres?.createDatabase()) ?? '';
    const data = join(home, 'data');
    const daemons = await Promise.all([
      startServe(data, { PACIFICA_DATABASE_URL: url }),
      startServe(data, { PACIFICA_DATABASE_URL: url }),
    ]);
    const [one, other] = daemons;
    try {
      const content = Buffer.from('kept in PostgreSQL');
      const bundle = makeBundle(home, [{ path: 'a/b.txt', content }]);
      const job = await ingest(one, bundle.file);
      expect(job).toMatchObject({ state: 'OK', complete: true });
      const byHash = await fetch(`${other.urls.proxy ?? ''}/files/sha1/${sha1(content)}`);
      expect(await byHash.text()).toBe(content.toString());
      await postCart(other, 'pg', await cartOf(one, job.job_id));
      expect(await cartEnd(one, 'pg')).toBe('ready');
      const tar = execFileSync('sh', ['-c', `curl -sSf ${one.urls.cart ?? ''}/pg | tar xO`], { encoding: 'utf8' });
      expect(tar).toBe(content.toString());
      expect(existsSync(join(data, 'pacifica.db'))).toBe(false);
    } finally {
      for (const daemon of daemons) expect(await daemon.stop()).toBe(0);
    }
    const check = execFileSync('node', ['bin/run.js', 'db', 'check', '--equal'], {
      encoding: 'utf8',
      env: { ...process.env, PACIFICA_DATABASE_URL: url },
    });
    expect(check).toBe('The schema fits.\n');
  });
});
