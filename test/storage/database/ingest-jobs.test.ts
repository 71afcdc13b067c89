import { QueryTypes } from 'sequelize';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../../src/storage/database/database.js';
import { BATCH, IngestJobs, type NewMember, type RunIdentity } from '../../../src/storage/database/ingest-jobs.js';
import { syncSchema } from '../../../src/storage/database/schema.js';
import { databaseKinds } from '../../support/databases.js';
import { bundle, startIngest } from '../../support/ingest.js';
import { piecesOf } from '../../support/streams.js';

const kinds = await databaseKinds();

const run = (runId: string): RunIdentity => ({ runId, process: 'machine.1.1' });
const member = (position: number): NewMember => ({
  position,
  path: `data/${position}`,
  size: 2 ** 40 + position,
  mtime: 1_480_428_545_250.5,
  hashtype: 'sha1',
  hashsum: 'f'.repeat(40),
});

/** @returns the SQL that is run by `work` */
async function statementsOf({ sequelize }: Database, work: () => Promise<unknown>): Promise<string[]> {
  // its types do not tell of it
  const { options } = sequelize as unknown as { options: { logging: false | ((sql: string) => void) } };
  const statements: string[] = [];
  options.logging = (sql) => statements.push(sql.replace(/^Executing .*?: /, ''));
  await work().finally(() => (options.logging = false));
  return statements;
}

describe.each(kinds)('ingest jobs on $name', (kind) => {
  const { available } = kind;
  describe.skipIf(!available)('the tables', () => {
    let database: Database;
    let jobs: IngestJobs;
    beforeAll(async () => {
      database = await Database.open(await kind.create());
      await syncSchema(database);
      jobs = new IngestJobs(database);
    });
    afterAll(() => database.close());

    it('keep a job as it is, numbers as numbers', async () => {
      const id = 2 ** 40;
      expect(await jobs.insert({ id, kind: 'upload', user: "o'neil" }, run('a'))).toBe(true);
      expect(await jobs.insert({ id, kind: 'move', user: 'other' }, run('b'))).toBe(false);
      await jobs.update(id, 'a', {
        task: 'open tar',
        taskPercent: 33.33333,
        exception: '$1 :id ? \n"',
        firstFileId: 2 ** 45,
      });
      const job = await jobs.find(id);
      expect(job).toMatchObject({
        id,
        kind: 'upload',
        user: "o'neil",
        state: 'OK',
        task: 'open tar',
        taskPercent: 33.33333,
        exception: '$1 :id ? \n"',
        complete: false,
        kept: false,
        phase: 'receiving',
        runId: 'a',
        process: 'machine.1.1',
        members: 0,
        bytes: 0,
        firstFileId: 2 ** 45,
      });
      expect(typeof job?.updated).toBe('number');
      expect(await jobs.find(3)).toBeUndefined();
    });

    it('let only the run write that has the job', async () => {
      await jobs.insert({ id: 10, kind: 'upload', user: 'root' }, run('a'));
      expect(await jobs.claim(10, run('b'))).toBeUndefined();
      await jobs.addMembers(10, 'a', [member(0)]);
      await jobs.update(10, 'a', { phase: 'queued', kept: true, runId: null });
      expect(await jobs.claim(10, run('b'))).toMatchObject({ phase: 'queued', runId: 'b', kept: true });
      expect(await jobs.claim(10, run('c'))).toMatchObject({ runId: 'c' });
      const late = { code: 'aborted' };
      await expect(jobs.update(10, 'b', { task: 'x' })).rejects.toMatchObject(late);
      await expect(jobs.progress(10, 'b', 50, true)).rejects.toMatchObject(late);
      await expect(jobs.beat(10, 'b')).rejects.toMatchObject(late);
      await expect(jobs.addMembers(10, 'b', [member(1)])).rejects.toMatchObject(late);
      await expect(jobs.setFileId(10, 'b', 0, 99)).rejects.toMatchObject(late);
      await expect(jobs.saveMembers(10, 'b', await jobs.membersAfter(10, -1))).rejects.toMatchObject(late);
      await expect(jobs.markNamed(10, 'b', [0])).rejects.toMatchObject(late);
      await expect(jobs.clearNamed(10, 'b')).rejects.toMatchObject(late);
      await expect(jobs.removeMembers(10, 'b')).rejects.toMatchObject(late);
      await jobs.release(10, 'b');
      expect(await jobs.find(10)).toMatchObject({ runId: 'c', task: 'UPLOADING', taskPercent: 0 });
      expect(await jobs.membersAfter(10, -1)).toMatchObject([{ position: 0, fileId: null }]);
      expect(await jobs.force(10, 'done', { state: 'FAILED' })).toBe(false);
      expect(await jobs.force(10, 'queued', { state: 'FAILED' })).toBe(true);
      await expect(jobs.update(10, 'c', { task: 'x' })).rejects.toMatchObject(late);
      expect(await jobs.force(11, 'receiving', { state: 'FAILED' })).toBe(false);
    });

    it('take a job over only from a run that stays silent', async () => {
      await jobs.insert({ id: 20, kind: 'upload', user: 'root' }, run('a'));
      const seen = await jobs.find(20);
      if (seen === undefined) throw new Error('no job');
      await jobs.update(20, 'a', { task: 'UPLOADING' });
      const now = await jobs.find(20);
      if (now?.beat === seen.beat) await jobs.force(20, 'receiving', {});
      expect(await jobs.takeOver({ ...seen, beat: seen.beat - 1 }, run('b'))).toBeUndefined();
      expect(await jobs.takeOver(now ?? seen, run('b'))).toMatchObject({ runId: 'b' });
      expect(await jobs.takeFailed(20, run('c'))).toBeUndefined();
    });

    it('keep the files of a job, find, mark, save and remove them', async () => {
      await jobs.insert({ id: 30, kind: 'upload', user: 'root' }, run('a'));
      const count = 2 * BATCH + 7;
      const all = Array.from({ length: count }, (_, index) => member(index));
      for (let start = 0; start < count; start += BATCH)
        await jobs.addMembers(30, 'a', all.slice(start, start + BATCH));
      expect(await jobs.membersAfter(30, -1)).toHaveLength(BATCH);
      expect(await jobs.membersAfter(30, count - 3)).toMatchObject([
        { ...member(count - 2) },
        { ...member(count - 1) },
      ]);
      const some = await jobs.membersByPath(30, ['data/3', 'data/999', 'data/none']);
      expect(some.map(({ position }) => position)).toEqual([3, 999]);
      expect(some[0]).toMatchObject({ size: 2 ** 40 + 3, mtime: 1_480_428_545_250.5, named: false, fileId: null });
      await jobs.saveMembers(
        30,
        'a',
        some.map((one) => ({ ...one, named: true, hashtype: 'md5', hashsum: 'e', mtime: 1.5, mode: 0o640 })),
      );
      expect(await jobs.membersByPath(30, ['data/999'])).toMatchObject([
        { named: true, hashtype: 'md5', hashsum: 'e', mtime: 1.5, mode: 0o640, size: 2 ** 40 + 999 },
      ]);
      await jobs.setFileId(30, 'a', 3, 2 ** 42);
      expect(await jobs.membersByPath(30, ['data/3'])).toMatchObject([{ fileId: 2 ** 42 }]);
      await jobs.addMembers(30, 'a', [
        { ...member(count), path: 'data/5' },
        { ...member(count + 1), path: 'x', problem: 'is odd' },
      ]);
      expect(await jobs.pathsTwice(30, 10)).toEqual(['data/5']);
      const faulty = await jobs.faultyMembers(30, 4);
      expect(faulty.count).toBe(count);
      expect(faulty.members.map(({ position }) => position)).toEqual([0, 1, 2, 4]);
      await jobs.markNamed(30, 'a', [0, 2]);
      expect((await jobs.faultyMembers(30, 3)).members.map(({ position }) => position)).toEqual([1, 4, 5]);
      expect((await jobs.faultyMembers(30, 1)).count).toBe(count - 2);
      await jobs.clearNamed(30, 'a');
      expect((await jobs.faultyMembers(30, 1)).count).toBe(count + 2);
      await jobs.removeMembers(30, 'a');
      expect(await jobs.membersAfter(30, -1)).toEqual([]);
      await jobs.remove(30, 'a');
      expect(await jobs.find(30)).toBeUndefined();
    });

    // PostgreSQL knows how many there are, and goes by that
    if (kind.name === 'SQLite') {
      it('find files by their paths without going through the others', async () => {
        const paths = Array.from({ length: BATCH }, (_, position) => member(position).path);
        const [sql = ''] = await statementsOf(database, () => jobs.membersByPath(35, paths));
        const plan = await database.sequelize.query<{ detail: string }>(
          `EXPLAIN QUERY PLAN ${sql.replace('$id', '35').replace('$keys', "'[]'")}`,
          { type: QueryTypes.SELECT },
        );
        expect(plan.map(({ detail }) => detail).join('\n')).toMatch(/\(job_id=\? AND path_key=\?\)/);
      });
    }

    it('remove the files of a job without reading them', async () => {
      const members = Array.from({ length: BATCH }, (_, position) => member(position));
      await jobs.insert({ id: 40, kind: 'upload', user: 'u' }, run('a'));
      await jobs.addMembers(40, 'a', members);
      const { sequelize } = database;
      const asked = await statementsOf(database, () => jobs.removeMembers(40, 'a'));
      expect(await jobs.membersAfter(40, -1)).toEqual([]);

      await jobs.addMembers(40, 'a', members);
      const questions = asked.filter((sql) => /^SELECT/i.test(sql));
      expect(questions).not.toEqual([]);
      for (const sql of questions) expect((await sequelize.query(sql, { type: QueryTypes.SELECT })).length).toBe(1);
    });
  });

  it.skipIf(!available)('a whole bundle goes through', async () => {
    const site = await startIngest({ databaseUrl: await kind.create(), work: true });
    const files = Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`d/${index}`, `${index}`]));
    for (const wrong of [false, true]) {
      const entries = (all: Record<string, unknown>[]): unknown =>
        wrong ? all.map((one) => (one.name === '599' ? { ...one, size: 0 } : one)) : all;
      const { record } = await site.service.receive(piecesOf(bundle(files, { entries })), { user: 'root' });
      const state = await site.end(record.job_id);
      expect(state.exception).toBe(wrong ? 'data/d/599: the metadata says 0 bytes, the bundle has 3' : '');
      expect(await site.visible()).toHaveLength(600);
    }
    await site.close();
  });
});
