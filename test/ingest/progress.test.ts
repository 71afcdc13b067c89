import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Archive } from '../../src/archive/archive.js';
import type { MetadataDocument } from '../../src/catalog/catalog.js';
import { bundle, incomingFile, type IngestSite, startIngest, TRANSACTION } from '../support/ingest.js';
import { overriding } from '../support/overriding.js';
import { piecesOf } from '../support/streams.js';
import { until } from '../support/until.js';

// how far a step is can be seen while it goes on: each is held up in its middle until its percent says that it moved

const FILES = { a: 'a'.repeat(10_000), b: 'b'.repeat(10_000), c: 'c'.repeat(10_000), d: 'd'.repeat(10_000) };

let site: IngestSite;
beforeEach(async () => {
  site = await startIngest();
});
afterEach(() => site.close());

/** Waits for the percent of a task to stand between two values, which it does within a second when it moves. */
async function moved(task: string, from: number, to: number): Promise<void> {
  const [job] = await site.store.list({ limit: 1 });
  await until(`${task} to stand between ${from} and ${to}`, async () => {
    const state = await site.state(job?.id ?? 0);
    const percent = Number(state.task_percent);
    return state.task === task && percent > from && percent < to;
  });
}

/** Goes through a document, waiting in its middle. */
async function goThrough(document: MetadataDocument, half: () => Promise<void>): Promise<void> {
  let entries = 0;
  for await (const { destinationTable } of document) {
    entries += 1;
    if (entries === 4 && destinationTable !== '') await half();
  }
}

it('of an upload: metadata, checking, placing, recording', async () => {
  const seen: string[] = [];
  const half = (name: string, task: string, from: number, to: number) => async (): Promise<void> => {
    await moved(task, from, to);
    seen.push(name);
  };
  const { metadata } = site.catalog;
  const { drafts } = site.archive;
  let opened = 0;
  let published = 0;
  const service = site.another({
    catalog: {
      ...site.catalog,
      metadata: overriding(metadata, {
        validate: (document) => goThrough(document, half('validated', 'load metadata', 50, 100)),
        ingest: (document) => goThrough(document, half('recorded', 'ingest metadata', 0, 100)),
      }),
    },
    archive: overriding<Archive>(site.archive, {
      drafts: overriding(drafts, {
        // each is read once more, since it was hashed by another algorithm
        open: async (group, name) => {
          opened += 1;
          if (opened === 3) await half('checked', 'ingest files', 0, 50)();
          return drafts.open(group, name);
        },
        publish: async (group, name, id) => {
          published += 1;
          if (published === 3) await half('placed', 'ingest files', 50, 100)();
          await drafts.publish(group, name, id);
        },
      }),
    }),
  });
  const { record } = await service.receive(piecesOf(bundle(FILES, { hashtype: 'sha256' })), { user: 'root' });
  await site.run(record.job_id, service);
  expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', complete: true, task_percent: '100.00000' });
  expect(seen).toEqual(['validated', 'checked', 'placed', 'recorded']);
});

it('of an upload: while a single file is read once more', async () => {
  const { drafts } = site.archive;
  let told = false;
  const service = site.another({
    archive: overriding<Archive>(site.archive, {
      drafts: overriding(drafts, {
        open: async (group, name) => {
          const file = await drafts.open(group, name);
          return overriding(file, {
            async read(buffer, position) {
              if (position > 0 && !told) {
                await moved('ingest files', 0, 50);
                told = true;
              }
              return file.read(buffer, position);
            },
          });
        },
      }),
    }),
  });
  const tar = bundle({ large: Buffer.alloc(16 * 1024 * 1024, 'large') }, { hashtype: 'sha256' });
  const { record } = await service.receive(piecesOf(tar), { user: 'root' });
  await site.run(record.job_id, service);
  expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', complete: true });
  expect(told).toBe(true);
});

it('of a move: checking and moving', async () => {
  const entries = [];
  for (const [name, content] of Object.entries(FILES)) entries.push(await incomingFile(site, name, content));
  const seen: string[] = [];
  let checks = 0;
  let moves = 0;
  const service = site.another({
    archive: overriding<Archive>(site.archive, {
      async checkMove(path) {
        checks += 1;
        if (checks === 3) {
          await moved('move files', 0, 90);
          seen.push('checked');
        }
        await site.archive.checkMove?.(path);
      },
      async move(id, path, options) {
        moves += 1;
        // the others are under way at the same time
        if (moves === 4) {
          await moved('move files', 90, 100);
          seen.push('moved');
        }
        await site.archive.move(id, path, options);
      },
    }),
  });
  const body = Buffer.from(JSON.stringify([...TRANSACTION, ...entries]));
  const { record } = await service.move(piecesOf(body), { user: 'root' });
  await site.run(record.job_id, service);
  expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', complete: true });
  expect(seen).toEqual(['checked', 'moved']);
});

it('of a move: while a single file is copied from another file system', async () => {
  const entry = await incomingFile(site, 'a', FILES.a);
  let told = false;
  const service = site.another({
    archive: overriding<Archive>(site.archive, {
      async move(id, path, options) {
        // half of it is copied by now
        options?.onBytes?.(5000);
        await moved('move files', 90, 100);
        told = true;
        await site.archive.move(id, path, options);
      },
    }),
  });
  const body = Buffer.from(JSON.stringify([...TRANSACTION, entry]));
  const { record } = await service.move(piecesOf(body), { user: 'root' });
  await site.run(record.job_id, service);
  expect(told).toBe(true);
});
