import { stat } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Archive } from '../../src/archive/archive.js';
import type { Catalog } from '../../src/catalog/catalog.js';
import { groupOf } from '../../src/ingest/parts.js';
import type { IngestService } from '../../src/ingest/service.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { IngestJobs } from '../../src/storage/database/ingest-jobs.js';
import { bundle, type IngestSite, startIngest } from '../support/ingest.js';
import { overriding } from '../support/overriding.js';
import { collect, piecesOf } from '../support/streams.js';
import { until } from '../support/until.js';

let site: IngestSite;
beforeEach(async () => {
  site = await startIngest();
});
afterEach(() => site.close());

const FILES = { 'a/one': 'one', 'a/two': 'two'.repeat(1000), three: '' };

const TAR = bundle(FILES);

async function receive(tar = TAR): Promise<number> {
  const { record } = await site.service.receive(piecesOf(tar), { user: 'root' });
  expect(record.state).toBe('OK');
  return record.job_id;
}

/** Everything of a job that went well. */
/** A run that waits for the metadata service, until it is told to go on. */
async function pausedAtMetadata(jobId: number): Promise<{ run: Promise<void>; resume: () => void }> {
  let resume: () => void = () => undefined;
  const paused = new Promise<void>((resolve) => (resume = resolve));
  const run = site.run(jobId, site.another(withCatalog({ metadata: { ingest: () => paused } })));
  await until('the run at its metadata', async () => (await site.state(jobId)).task === 'ingest metadata');
  return { run, resume };
}

async function expectDone(jobId: number, files: Record<string, string | Buffer> = FILES): Promise<void> {
  expect(await site.state(jobId)).toMatchObject({
    state: 'OK',
    task: 'ingest metadata',
    task_percent: '100.00000',
    complete: true,
    exception: '',
  });
  const found = await site.catalog.metadata.files({ transaction: jobId });
  const contents: Record<string, string> = {};
  for (const { _id, subdir, name } of found) {
    const file = await site.archive.open(parseArchiveId(_id));
    contents[subdir === '' ? name : `${subdir}/${name}`] = (await collect(file.stream())).toString();
    await file.close();
  }
  expect(contents).toEqual(Object.fromEntries(Object.entries(files).map(([path, content]) => [path, String(content)])));
  expect(await site.leftovers()).toEqual([]);
  // the rows of its files, too
  expect(await site.store.membersAfter(jobId, -1)).toEqual([]);
}

async function expectFailed(jobId: number, exception: string): Promise<void> {
  const state = await site.state(jobId);
  expect(state).toMatchObject({ state: 'FAILED', complete: true });
  expect(state.exception).toContain(exception);
  expect(await site.visible()).toEqual([]);
  expect(await site.catalog.metadata.files({ transaction: jobId })).toEqual([]);
}

const failing = (error: Error) => (): Promise<never> => Promise.reject(error);

function withCatalog(members: { [K in keyof Catalog]?: Partial<Catalog[K]> }): Partial<{ catalog: Catalog }> {
  const { ids, policy, metadata } = site.catalog;
  return {
    catalog: {
      ids: overriding(ids, members.ids ?? {}),
      policy: overriding(policy, members.policy ?? {}),
      metadata: overriding(metadata, members.metadata ?? {}),
    },
  };
}

/** A service whose process is killed at its n-th call of anything: before it, or right after it had its effect. */
class Mortal {
  calls = 0;
  #dead = false;
  readonly #at: number;
  readonly #after: boolean;

  constructor(at: number, after: boolean) {
    this.#at = at;
    this.#after = after;
  }

  wrap<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (_target, key) => {
        const value = Reflect.get(target, key) as unknown;
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]): Promise<unknown> => {
          this.calls += 1;
          const isLast = this.calls === this.#at;
          if (this.isDead() || (isLast && !this.#after)) return this.#die();
          const result: unknown = await (value.apply(target, args) as Promise<unknown>);
          if (this.isDead() || isLast) return this.#die();
          return result;
        };
      },
    });
  }

  isDead(): boolean {
    return this.#dead;
  }

  #die(): never {
    this.#dead = true;
    throw new Error('killed');
  }

  service(members: Parameters<typeof withCatalog>[0] = {}): IngestService {
    const { catalog = site.catalog } = withCatalog(members);
    return site.another({
      store: this.wrap<IngestJobs>(site.store),
      archive: overriding<Archive>(site.archive, { drafts: this.wrap(site.archive.drafts) }),
      catalog: {
        ids: this.wrap(catalog.ids),
        policy: this.wrap(catalog.policy),
        metadata: this.wrap(catalog.metadata),
      },
    });
  }
}

describe('fault 22, a worker that is killed: another run goes on', () => {
  it.each([
    ['before', false],
    ['right after', true],
  ])('killed %s any of its steps, on the way to the good end', async (_when, after) => {
    for (let at = 1; ; at += 1) {
      const jobId = await receive();
      const mortal = new Mortal(at, after);
      await site.run(jobId, mortal.service()).catch(() => undefined);
      if (!mortal.isDead()) {
        await expectDone(jobId);
        expect(at).toBeGreaterThan(20);
        // one file each, of every job: no id twice, none without an owner
        expect((await site.visible()).length).toBe(at * 3);
        return;
      }
      await site.run(jobId);
      await expectDone(jobId);
    }
  });

  it.each([
    ['before', false],
    ['right after', true],
  ])('killed %s any of its steps, on the way to a bad end', async (_when, after) => {
    const refused = { metadata: { ingest: failing(new PacificaError('invalid', 'metadata says no')) } };
    for (let at = 1; ; at += 1) {
      const jobId = await receive();
      const mortal = new Mortal(at, after);
      await site.run(jobId, mortal.service(refused)).catch(() => undefined);
      if (mortal.isDead()) await site.run(jobId, site.another(withCatalog(refused)));
      await expectFailed(jobId, 'metadata says no');
      if (mortal.isDead()) continue;
      expect(at).toBeGreaterThan(20);
      return;
    }
  });
});

it('killed while files are taken back, it fails all the same, though nothing is wrong any more', async () => {
  for (let at = 1; ; at += 1) {
    const jobId = await receive();
    const { drafts } = site.archive;
    const mortal = new Mortal(at, true);
    const dying = mortal.wrap(drafts);
    const service = site.another({
      ...withCatalog({ metadata: { ingest: failing(new PacificaError('invalid', 'not today')) } }),
      archive: overriding<Archive>(site.archive, {
        drafts: overriding(drafts, { unpublish: (group, name, id) => dying.unpublish(group, name, id) }),
      }),
    });
    await site.run(jobId, service).catch(() => undefined);
    if (mortal.isDead()) await site.run(jobId);
    await expectFailed(jobId, 'not today');
    if (!mortal.isDead()) return;
  }
});

it('killed when its metadata is recorded, it ends well, though policy would say no by now', async () => {
  const jobId = await receive();
  const service = site.another(
    withCatalog({
      metadata: {
        async ingest(metadata, user) {
          await site.catalog.metadata.ingest(metadata, user);
          throw new PacificaError('timeout', 'the answer was lost');
        },
      },
    }),
  );
  await expect(site.run(jobId, service)).rejects.toThrow('the answer was lost');
  const strict = withCatalog({ policy: { check: failing(new PacificaError('forbidden', 'no more')) } });
  await site.run(jobId, site.another(strict));
  await expectDone(jobId);
});

it('told to stop at any of its steps, it leaves and goes on later', async () => {
  for (let at = 1; ; at += 1) {
    const jobId = await receive();
    const stop = new AbortController();
    let calls = 0;
    const counting = <T extends object>(target: T): T =>
      new Proxy(target, {
        get(_target, key) {
          const value = Reflect.get(target, key) as unknown;
          if (typeof value !== 'function') return value;
          return (...args: unknown[]): unknown => {
            calls += 1;
            if (calls === at) stop.abort(new Error('the process stops'));
            return value.apply(target, args) as unknown;
          };
        },
      });
    const { drafts } = site.archive;
    const service = site.another({
      store: counting<IngestJobs>(site.store),
      archive: overriding<Archive>(site.archive, { drafts: counting(drafts) }),
    });
    const left = await site.run(jobId, service, stop.signal).then(
      () => false,
      (error: unknown) => {
        expect(error).toBe(stop.signal.reason);
        return true;
      },
    );
    expect((await site.state(jobId)).state).toBe('OK');
    if (left) {
      // let go of, so that nobody has to wait for it
      expect((await site.service.job(jobId)).runId).toBeNull();
      await site.run(jobId);
    }
    await expectDone(jobId);
    if (calls < at) return;
  }
});

describe('a run that was believed dead', () => {
  it('changes nothing when it comes back after another one has finished', async () => {
    const jobId = await receive();
    let resume: () => void = () => undefined;
    const paused = new Promise<void>((resolve) => (resume = resolve));
    const { drafts } = site.archive;
    const zombie = site.another({
      archive: overriding<Archive>(site.archive, {
        drafts: overriding(drafts, {
          publish: async (group, name, id) => {
            await paused;
            await drafts.publish(group, name, id);
          },
        }),
      }),
    });
    const run = site.run(jobId, zombie);
    await until('the first run at its files', async () => (await site.state(jobId)).task === 'ingest files');
    await site.run(jobId);
    await expectDone(jobId);
    resume();
    await run;
    await expectDone(jobId);
  });

  it('takes nothing back when it meets an error of its own then', async () => {
    const jobId = await receive();
    let resume: (error: Error) => void = () => undefined;
    const paused = new Promise<void>((_resolve, reject) => (resume = reject));
    const zombie = site.another(withCatalog({ metadata: { ingest: () => paused } }));
    const run = site.run(jobId, zombie);
    await until('the first run at its metadata', async () => (await site.state(jobId)).task === 'ingest metadata');
    await site.run(jobId);
    await expectDone(jobId);
    resume(new PacificaError('invalid', 'too late'));
    await run;
    await expectDone(jobId);
  });

  it('changes nothing when the state was set by hand meanwhile', async () => {
    const jobId = await receive();
    const { run, resume } = await pausedAtMetadata(jobId);
    const byHand = {
      state: 'FAILED',
      task: 'ingest files',
      taskPercent: 0,
      exception: 'Failed by administrator',
    } as const;
    const record = await site.service.setState(jobId, byHand);
    expect(record).toMatchObject({ state: 'FAILED', task: 'ingest files', task_percent: '0.00000', complete: true });
    resume();
    await run;
    expect(await site.state(jobId)).toEqual(record);
    // what it had made visible is taken back
    expect(site.queued()).toEqual([String(jobId), String(jobId)]);
    await site.run(jobId);
    await expectFailed(jobId, 'Failed by administrator');
  });
});

describe('a state that was set by hand', () => {
  const byHand = { state: 'FAILED', task: 'ingest files', taskPercent: 0, exception: 'a mistake' } as const;

  it('is set back to OK, as the message of retry says: those who wait for a good job see its end again', async () => {
    const jobId = await receive();
    await site.run(jobId);
    await site.service.setState(jobId, byHand);
    await expect(site.service.retry(jobId)).rejects.toMatchObject({
      hint: `set it back: "pacifica ingest job --job-id ${jobId} --state OK"`,
    });
    expect(site.queued()).toEqual([String(jobId)]);
    await site.service.setState(jobId, { state: 'OK' });
    await expectDone(jobId);
  });

  it('is not OK where the job has failed and nothing works on it, but for one that is done by hand', async () => {
    const jobId = await receive();
    await site.service.setState(jobId, byHand);
    const refused = {
      code: 'precondition',
      message: `ingest job ${jobId} has failed, and nothing works on it`,
      hint: expect.stringContaining(`"pacifica ingest retry ${jobId}" goes on`) as string,
    };
    const asDone = { state: 'OK', task: 'ingest metadata', taskPercent: 100 } as const;
    await expect(site.service.setState(jobId, asDone)).rejects.toMatchObject({
      code: 'precondition',
      message: `ingest job ${jobId} is still being ended: what was visible of it is taken back`,
    });
    await site.run(jobId);
    await expect(site.service.setState(jobId, { state: 'OK' })).rejects.toMatchObject(refused);
    await expectFailed(jobId, byHand.exception);
    expect(await site.service.setState(jobId, asDone)).toMatchObject({
      state: 'OK',
      task: 'ingest metadata',
      task_percent: '100.00000',
      complete: true,
      exception: '',
    });
  });

  it('goes by the phase that the job is in when it is written', async () => {
    const jobId = await receive();
    const run = overriding<IngestJobs>(site.store, {
      // the job comes to its end between the look at it and the change
      force: async (...args) => {
        if ((await site.store.find(jobId))?.phase === 'queued') await site.run(jobId);
        return site.store.force(...args);
      },
    });
    expect(await site.another({ store: run }).setState(jobId, byHand)).toMatchObject({
      state: 'FAILED',
      complete: true,
    });
    expect((await site.store.find(jobId))?.phase).toBe('done');
    await site.service.setState(jobId, { state: 'OK' });
    await expectDone(jobId);
  });

  it('is FAILED when all is recorded and only tidied up: nothing is taken back', async () => {
    const jobId = await receive();
    const { drafts } = site.archive;
    const busy = new PacificaError('unavailable', 'busy');
    const service = site.another({
      archive: overriding<Archive>(site.archive, {
        drafts: overriding(drafts, { removeGroup: failing(busy) }),
      }),
    });
    await expect(site.run(jobId, service)).rejects.toBe(busy);
    await site.service.setState(jobId, byHand);
    await site.run(jobId);
    expect(await site.state(jobId)).toMatchObject({ state: 'FAILED', exception: byHand.exception, complete: true });
    await site.service.setState(jobId, { state: 'OK' });
    await expectDone(jobId);
  });

  it('is OK: whoever worked on the job has lost it, and another one goes on at once', async () => {
    const jobId = await receive();
    const { run, resume } = await pausedAtMetadata(jobId);
    await site.service.setState(jobId, { state: 'OK' });
    expect(site.queued()).toEqual([String(jobId), String(jobId)]);
    await site.run(jobId);
    resume();
    await run;
    await expectDone(jobId);
  });

  it('is FAILED while the bundle comes in: nothing more of it is written', async () => {
    const large = bundle({ large: Buffer.alloc(32 * 1024 * 1024, 'large') });
    let begun: () => void = () => undefined;
    const half = new Promise<void>((resolve) => (begun = resolve));
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield* piecesOf(large.subarray(0, 10_000_000), 65_536);
      begun();
      // the sender knows nothing of it and goes on
      for (let at = 10_000_000; at < large.length; at += 1000) {
        yield large.subarray(at, at + 1000);
        if ((await site.leftovers()).length === 0) return;
      }
    }
    const lines: string[] = [];
    const service = site.another({ log: pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }) });
    const reception = service.receive(endless(), { user: 'root' });
    await half;
    const [job] = await site.store.list({ limit: 1 });
    const jobId = job?.id ?? 0;
    await expect(site.service.setState(jobId, { state: 'OK' })).rejects.toMatchObject({
      code: 'precondition',
      message: `the bundle of ingest job ${jobId} is still coming in`,
    });
    const record = await site.service.setState(jobId, byHand);
    const answer = await reception;
    expect(answer.record).toEqual(record);
    expect(answer.error).toMatchObject({ code: 'aborted' });
    expect(await site.leftovers()).toEqual([]);
    // it is told, once and not as a fault
    expect(lines.map((line) => (JSON.parse(line) as { level: number }).level)).toEqual([40, 40]);
    await site.run(jobId);
    expect(await site.state(jobId)).toMatchObject({ state: 'FAILED', exception: byHand.exception });
  });
});

describe('what may pass', () => {
  it.each([
    ['policy', 'check', 'Policy Validation'],
    ['metadata', 'validate', 'load metadata'],
    ['metadata', 'ingest', 'ingest metadata'],
    ['ids', 'take', 'ingest files'],
  ] as const)('%s is down (%s): the state says so, the queue calls again', async (service, method, task) => {
    const jobId = await receive();
    for (const code of ['unavailable', 'timeout', 'bad-gateway'] as const) {
      const down = withCatalog({ [service]: { [method]: failing(new PacificaError(code, 'nobody there')) } });
      await expect(site.run(jobId, site.another(down))).rejects.toMatchObject({ code });
      expect(await site.state(jobId)).toMatchObject({
        state: 'OK',
        task,
        complete: false,
        exception: 'waiting: nobody there',
      });
    }
    await site.run(jobId);
    await expectDone(jobId);
  });

  it('passes by itself when the service is back', async () => {
    let down = 2;
    const working = await startIngest({
      work: true,
      wrap: ({ catalog }) => ({
        catalog: {
          ...catalog,
          policy: {
            async check(metadata, user) {
              down -= 1;
              if (down >= 0) throw new PacificaError('unavailable', 'policy is down');
              await catalog.policy.check(metadata, user);
            },
          },
        },
      }),
    });
    const { record } = await working.service.receive(piecesOf(TAR), { user: 'root' });
    expect(await working.end(record.job_id)).toMatchObject({ state: 'OK', exception: '' });
    expect(down).toBeLessThan(0);
    await working.close();
  });
});

describe('ids', () => {
  it('that the archive holds already are left alone, and fresh ones taken', async () => {
    const { start } = await site.catalog.ids.take('file', 1);
    for (const id of [start + 1, start + 3]) {
      await site.archive.put(parseArchiveId(id), piecesOf(Buffer.from('somebody else')));
    }
    const jobId = await receive();
    const lines: { msg: string; taken?: number; instead?: number }[] = [];
    const stream = { write: (line: string) => lines.push(JSON.parse(line) as (typeof lines)[number]) };
    await site.run(jobId, site.another({ log: pino({ level: 'warn' }, stream) }));
    await expectDone(jobId);
    const told = lines.filter(({ msg }) => msg === 'the archive has a file of an id that is new');
    expect(told.map(({ taken }) => taken).sort()).toEqual([start + 1, start + 3]);
    expect(told.every(({ instead = 0 }) => instead > start + 3)).toBe(true);
    for (const id of [start + 1, start + 3]) {
      const file = await site.archive.open(parseArchiveId(id));
      expect((await collect(file.stream())).toString()).toBe('somebody else');
      await file.close();
    }
  });

  it('are taken of the modes of the wire: one of upload_job for the job, as many of file as it has files', async () => {
    const taken: [mode: string, count: number][] = [];
    const take: Catalog['ids']['take'] = async (mode, count) => {
      taken.push([mode, count]);
      return site.catalog.ids.take(mode, count);
    };
    const service = site.another(withCatalog({ ids: { take } }));
    const { record } = await service.receive(piecesOf(TAR), { user: 'root' });
    await site.run(record.job_id, service);
    expect(taken).toEqual([
      ['upload_job', 1],
      ['file', Object.keys(FILES).length],
    ]);
  });

  it('fault 21: jobs that run at once, on two services, have different ones', async () => {
    const jobs = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        receive(bundle({ [`x${index}`]: `x${index}`, [`y${index}`]: `y${index}` })),
      ),
    );
    expect(new Set(jobs).size).toBe(10);
    const other = site.another();
    await Promise.all(jobs.map((jobId, index) => site.run(jobId, index % 2 === 0 ? site.service : other)));
    for (const [index, jobId] of jobs.entries()) {
      await expectDone(jobId, { [`x${index}`]: `x${index}`, [`y${index}`]: `y${index}` });
    }
    expect((await site.visible()).length).toBe(20);
  });

  it('of a job are skipped when there is a job of that number', async () => {
    await receive();
    let reset = 0;
    const service = site.another(
      withCatalog({
        ids: {
          take: (mode, count) =>
            mode === 'upload_job'
              ? Promise.resolve({ start: (reset += 1), end: reset })
              : site.catalog.ids.take(mode, count),
        },
      }),
    );
    const { record } = await service.receive(piecesOf(TAR), { user: 'root' });
    expect(record.job_id).toBe(2);
  });
});

it('fault 28: a bundle is written to disk once, and never read again', async () => {
  const io = (): { read: number; written: number } => {
    const text = readFileSync('/proc/self/io', 'utf8');
    const number = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1]);
    return { read: number('rchar'), written: number('wchar') };
  };
  const tar = bundle({ big: Buffer.alloc(20_000_000, 'x'), small: 'y' });
  const before = io();
  const { record } = await site.service.receive(piecesOf(tar), { user: 'root' });
  await site.run(record.job_id);
  const after = io();
  expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', task_percent: '100.00000' });
  // beside the bundle there is the database: some hundred KB
  expect(after.written - before.written).toBeLessThan(tar.length * 1.01 + 2_000_000);
  expect(after.read - before.read).toBeLessThan(5_000_000);
});

it('no id for a job: the body is not touched', async () => {
  const service = site.another(withCatalog({ ids: { take: failing(new PacificaError('timeout', 'slow')) } }));
  const body: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]() {
      throw new Error('it was read');
    },
  };
  await expect(service.receive(body, { user: 'root' })).rejects.toMatchObject({ code: 'unavailable' });
  await expect(service.move(body, { user: 'root' })).rejects.toMatchObject({ code: 'unavailable' });
});

it('the number of the transaction is ours to say, and so are those of the files', async () => {
  const entries = (all: Record<string, unknown>[]): unknown => [
    { destinationTable: 'Transactions._id', value: 4711 },
    ...all.map((entry, index) => ('size' in entry ? { ...entry, _id: 4712 + index } : entry)),
  ];
  const jobId = await receive(bundle(FILES, { entries }));
  await site.run(jobId);
  await expectDone(jobId);
  expect(await site.catalog.metadata.files({ transaction: 4711 })).toEqual([]);
  for (let id = 4712; id < 4720; id += 1) expect(await site.catalog.metadata.files({ _id: id })).toEqual([]);
});

it('files are not visible before all of the bundle has passed', async () => {
  const jobId = await receive();
  const seen: number[] = [];
  const look = async (): Promise<void> => void seen.push((await site.visible()).length);
  const service = site.another(
    withCatalog({
      policy: { check: async (metadata, user) => (await look(), site.catalog.policy.check(metadata, user)) },
      ids: { take: async (mode, count) => (await look(), site.catalog.ids.take(mode, count)) },
    }),
  );
  await site.run(jobId, service);
  expect(seen).toEqual([0, 0]);
  await expectDone(jobId);
});

describe('a disk that is full', () => {
  it('while the bundle comes in: FAILED, nothing left', async () => {
    const { drafts } = site.archive;
    const full = new PacificaError('no-space', 'no room');
    const service = site.another({
      archive: overriding<Archive>(site.archive, {
        drafts: overriding(drafts, {
          create: async (group, name) => (name === '1' ? Promise.reject(full) : drafts.create(group, name)),
        }),
      }),
    });
    const { record, error } = await service.receive(piecesOf(TAR), { user: 'root' });
    expect(error).toBe(full);
    expect(record).toMatchObject({ state: 'FAILED', exception: 'no room', complete: true });
    expect(await site.leftovers()).toEqual([]);
  });
});

describe('a job that failed', () => {
  const refusing = (): IngestService =>
    site.another(withCatalog({ metadata: { ingest: failing(new PacificaError('invalid', 'not today')) } }));

  it('keeps its data, and can be tried again under the same ids', async () => {
    const jobId = await receive();
    await site.run(jobId, refusing());
    await expectFailed(jobId, 'not today');
    const { firstFileId, kept } = await site.service.job(jobId);
    expect(kept).toBe(true);
    expect(await site.leftovers()).not.toEqual([]);
    expect(await site.service.retry(jobId)).toMatchObject({
      job_id: jobId,
      state: 'OK',
      complete: false,
      exception: '',
    });
    expect(site.queued()).toEqual([String(jobId), String(jobId)]);
    await site.run(jobId);
    await expectDone(jobId);
    const ids = (await site.catalog.metadata.files({ transaction: jobId })).map(({ _id }) => _id);
    expect(Math.min(...ids)).toBe(firstFileId);
  });

  it('fault 25: loses its data when it is purged, or its time is up', async () => {
    const jobId = await receive();
    await site.run(jobId, refusing());
    const { updated } = await site.service.job(jobId);
    expect(await site.purgeBefore(updated)).toEqual([]);
    expect(await site.store.membersAfter(jobId, -1)).toHaveLength(3);
    expect(await site.purgeBefore(updated + 1)).toEqual([jobId]);
    expect(await site.leftovers()).toEqual([]);
    expect(await site.store.membersAfter(jobId, -1)).toEqual([]);
    await expectFailed(jobId, 'not today');
    await expect(site.service.retry(jobId)).rejects.toThrow('has no data any more');
    expect(await site.purgeBefore(Date.now() + 1000)).toEqual([]);
  });

  it('is purged with what a run that was believed dead made visible after all', async () => {
    const jobId = await receive();
    await site.run(jobId, refusing());
    const { firstFileId } = await site.service.job(jobId);
    await site.archive.drafts.publish(groupOf(jobId), '1', parseArchiveId((firstFileId ?? 0) + 1));
    await site.purgeBefore(Date.now() + 1000);
    await expectFailed(jobId, 'not today');
    expect(await site.leftovers()).toEqual([]);
  });

  it('can not be tried again while it has not failed', async () => {
    const jobId = await receive();
    await expect(site.service.retry(jobId)).rejects.toThrow('has not failed');
    await site.run(jobId);
    await expect(site.service.retry(jobId)).rejects.toThrow('has not failed');
    await expect(site.service.retry(999)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('by hand is tried again once what was visible of it is taken back, and until then says so', async () => {
    const jobId = await receive();
    await site.service.setState(jobId, { state: 'FAILED', exception: 'stuck' });
    await expect(site.service.retry(jobId)).rejects.toMatchObject({
      code: 'not-ready',
      message: `ingest job ${jobId} is still being ended: what was visible of it is taken back`,
      hint: expect.stringContaining('worker') as string,
    });
    const told: string[] = [];
    const retried = site.service.retry(jobId, {
      attempts: Infinity,
      pause: () => 1,
      budget: 30_000,
      onWait: (reason) => told.push(reason),
    });
    await until('the waiting', () => told.length > 0);
    await site.run(jobId);
    expect(await retried).toMatchObject({ job_id: jobId, state: 'OK', complete: false });
    expect(told[0]).toContain(`ingest job ${jobId} is still being ended`);
    await site.run(jobId);
    await expectDone(jobId);
    // set by hand when all was done
    await site.service.setState(jobId, { state: 'FAILED' });
    await expect(site.service.retry(jobId)).rejects.toMatchObject({
      code: 'invalid',
      message: `ingest job ${jobId} has not failed: all of it is archived and recorded, and FAILED was set by hand`,
      hint: `set it back: "pacifica ingest job --job-id ${jobId} --state OK"`,
    });
  });

  it('is found in the list', async () => {
    const good = await receive();
    const bad = await receive();
    await site.run(good);
    await site.run(bad, refusing());
    expect((await site.service.list({ limit: 10 })).map(({ record }) => record.job_id)).toEqual([bad, good]);
    expect((await site.service.list({ state: 'FAILED', limit: 10 })).map(({ record }) => record.job_id)).toEqual([bad]);
    expect(await site.service.list({ since: Date.now() + 1000, limit: 10 })).toEqual([]);
    expect((await site.service.list({ limit: 1 })).map(({ record }) => record.job_id)).toEqual([bad]);
  });
});

it('the drafts of an upload become the files: the same inode, read-only', async () => {
  const jobId = await receive(bundle({ f: 'f' }));
  const draft = (await site.leftovers()).find((path) => path.endsWith('/0')) ?? '';
  const before = await stat(join(site.folder, 'archive', draft));
  await site.run(jobId);
  const [path] = await site.visible();
  const after = await stat(join(site.folder, 'archive', path ?? ''));
  expect(after.ino).toBe(before.ino);
  expect(after.mode & 0o777).toBe(0o444);
});
