import { readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedPolicy } from '../../src/catalog/policy.js';
import { Rules } from '../../src/catalog/rules.js';
import { SiteRules } from '../../src/catalog/site-rules.js';
import type { PacificaError } from '../../src/lib/errors.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

/** the example of the documentation */
const page = readFileSync(new URL('../../docs/policy.md', import.meta.url), 'utf8');
const example = /```json\n([^]*?)```/.exec(page)?.[1] ?? '';

interface Tables {
  users: Record<string, unknown>[];
  instruments: Record<string, unknown>[];
  projects: Record<string, unknown>[];
}

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => removeFolder(folder));

function entries(submitter: unknown, project: unknown, instrument: unknown) {
  return Object.entries({ submitter, project, instrument }).map(([name, value]) => ({
    destinationTable: `Transactions.${name}`,
    value,
  }));
}

let files = 0;
async function policyOf(text: string): Promise<EmbeddedPolicy> {
  const path = join(folder, `rules-${(files += 1)}.json`);
  await writeFile(path, text);
  return new EmbeddedPolicy(await SiteRules.open(path, (error) => expect.unreachable(error.message)));
}

describe('who may ingest what', () => {
  it.each([
    ['dmlb2001', 10, '1234a', 54],
    ['dmlb2001', '10', '1234a', '54'],
    ['msmith', 100, '1235', 104],
    ['msmith', 100, 1235, 54],
    ['operator', 10, '1234a', 54],
    ['operator', 1, '1234a', 104],
  ])('%s for submitter %j, project %j, instrument %j', async (user, submitter, project, instrument) => {
    await (await policyOf(example)).check(entries(submitter, project, instrument), user);
  });

  it.each([
    ['dmlb2001', 11, '1234a', 54, 'Invalid values for submitter (11)'],
    ['dmlb2001', 10, '1236', 54, 'Invalid values for project ("1236")'],
    ['dmlb2001', 10, '1234a', 55, 'Invalid values for instrument (55)'],
    ['operator', 11, '1236', 55, 'Invalid values for submitter (11), project ("1236"), instrument (55)'],
    ['operator', 10, '1235', 104, 'Invalid values for project ("1235")'],
    ['dmlb2001', 1, '1235', 54, 'user "dmlb2001" may not ingest for submitter 1'],
    ['dmlb2001', 10, '1235', 54, 'Invalid values for project ("1235")'],
    ['msmith', 100, '1234a', 104, 'Invalid values for instrument (104)'],
    ['msmith', 10, '1234a', 54, 'user "msmith" may not ingest for submitter 10'],
    ['root', 10, '1234a', 54, 'user "root" is not in the site\'s rules'],
    ['10', 10, '1234a', 54, 'user "10" is not in the site\'s rules'],
    ['dmlb2001', true, '1234a', 54, 'Invalid values for submitter (true)'],
    ['dmlb2001', 10, null, 54, 'Invalid values for project'],
  ])('not %s for submitter %j, project %j, instrument %j', async (user, submitter, project, instrument, message) => {
    const checking = (await policyOf(example)).check(entries(submitter, project, instrument), user);
    await expect(checking).rejects.toMatchObject({ code: 'forbidden', message });
  });

  it('not who names two submitters, one of whom may: metadata could take the other', async () => {
    const mine = entries(10, '1234a', 54);
    const policy = await policyOf(example);
    await policy.check([...mine, ...entries('10', '1234a', '54')], 'dmlb2001');
    for (const both of [
      [...mine, ...entries(100, '1234a', 54)],
      [...entries(100, '1234a', 54), ...mine],
    ]) {
      await expect(policy.check(both, 'dmlb2001')).rejects.toMatchObject({
        code: 'forbidden',
        message: 'Invalid values for submitter',
      });
    }
  });

  it('anybody, where there are no rules', async () => {
    await new EmbeddedPolicy().check(entries(7, 'x', 'y'), 'root');
  });
});

describe('what is asked before an upload', () => {
  const ids = (from: 'users' | 'projects' | 'instruments', user: number, where: Record<string, unknown>): unknown[] =>
    new Rules(JSON.parse(example)).query({ user, from, columns: ['_id'], where }).map(({ _id }) => _id);

  it.each([
    [-1, { network_id: 'dmlb2001' }, [10]],
    [-1, { network_id: 'nobody' }, []],
    [-1, {}, []],
    [10, {}, [10]],
    [10, { project_id: '1234a', user: 10 }, [10, 100]],
    [10, { project_id: 'none' }, []],
  ])('users, by %i where %j', (user, where, expected) => {
    expect(ids('users', user, where)).toEqual(expected);
  });

  it.each([
    [10, {}, ['1234a']],
    [100, {}, ['1234a', '1235']],
    [100, { instrument_id: 54 }, ['1234a', '1235']],
    [100, { instrument_id: '104' }, ['1235']],
    [10, { instrument_id: 104 }, []],
    [10, { _id: '1235' }, ['1235']],
    [1, { instrument_id: 104 }, ['1234a', '1235']],
    [7, {}, []],
  ])('projects, by %i where %j', (user, where, expected) => {
    expect(ids('projects', user, where)).toEqual(expected);
  });

  it.each([
    [10, {}, [54]],
    [100, {}, [54, 104]],
    [100, { project_id: '1234a' }, [54]],
    [10, { project_id: '1235' }, []],
    [10, { _id: 104 }, [104]],
    [1, { project_id: '1234a' }, [54, 104]],
    [7, {}, []],
  ])('instruments, by %i where %j', (user, where, expected) => {
    expect(ids('instruments', user, where)).toEqual(expected);
  });

  it('tells columns, and not who may do what', () => {
    const columns = ['_id', 'first_name', 'admin', 'network_id'];
    const rules = new Rules(JSON.parse(example));
    expect(rules.query({ user: 1, from: 'users', columns, where: {} })).toEqual([
      { _id: 1, first_name: 'Facility', network_id: 'operator' },
    ]);
    const all = ['_id', 'title', 'users', 'instruments'];
    expect(rules.query({ user: 10, from: 'projects', columns: all, where: {} })).toEqual([
      { _id: '1234a', title: 'Protein folding' },
    ]);
  });
});

describe('the rules file', () => {
  it.each<[string, (tables: Tables) => unknown, RegExp]>([
    ['a list', () => [], /the document is not an object/],
    ['no projects', ({ users, instruments }) => ({ users, instruments }), /"projects" is not a list/],
    ['another table', (tables) => ({ ...tables, user: [] }), /"user" is not known/],
    ['a row that is none', (tables) => ({ ...tables, users: [7] }), /users\[0\] is not an object/],
    ['no id', ({ users, ...rest }) => ({ ...rest, users: [...users, { network_id: 'x' }] }), /users\[3\]\._id/],
    ['no name', ({ users, ...rest }) => ({ ...rest, users: [...users, { _id: 3 }] }), /users\[3\]\.network_id/],
    [
      'an id twice',
      ({ instruments, ...rest }) => ({ ...rest, instruments: [...instruments, { _id: '54' }] }),
      /instruments\[2\]: the _id 54/,
    ],
    [
      'a name twice',
      ({ users, ...rest }) => ({ ...rest, users: [...users, { _id: 3, network_id: 'msmith' }] }),
      /users\[3\]: .*msmith/,
    ],
    [
      'an admin that is no switch',
      ({ users, ...rest }) => ({ ...rest, users: [...users, { _id: 3, network_id: 'x', admin: 'no' }] }),
      /users\[3\]\.admin/,
    ],
    [
      'a project without users',
      ({ projects, ...rest }) => ({ ...rest, projects: [...projects, { _id: 'x', instruments: [] }] }),
      /projects\[2\]\.users is not a list/,
    ],
    [
      'a user that there is not',
      ({ projects, ...rest }) => ({ ...rest, projects: [...projects, { _id: 'x', users: [11], instruments: [] }] }),
      /projects\[2\]\.users: there is no user 11/,
    ],
    [
      'an instrument that there is not',
      ({ projects, ...rest }) => ({ ...rest, projects: [...projects, { _id: 'x', users: [], instruments: ['z'] }] }),
      /projects\[2\]\.instruments: there is no instrument "z"/,
    ],
  ])('with %s is refused, with its place', async (_, change, message) => {
    const path = join(folder, 'wrong.json');
    await writeFile(path, JSON.stringify(change(JSON.parse(example) as Tables)));
    const opening = SiteRules.open(path, () => undefined);
    await expect(opening).rejects.toMatchObject({ code: 'invalid', message: expect.stringMatching(message) as string });
    await expect(opening).rejects.toThrow(path);
  });

  it('that is no JSON, or not there, is refused with its name', async () => {
    const path = join(folder, 'no.json');
    await writeFile(path, '{bad');
    await expect(SiteRules.open(path, () => undefined)).rejects.toMatchObject({ code: 'invalid' });
    await rm(path);
    const opening = SiteRules.open(path, () => undefined);
    await expect(opening).rejects.toMatchObject({ code: 'not-found' });
    await expect(opening).rejects.toThrow(path);
  });

  it('counts from the next question on when it has changed; a broken one does not, and is told once', async () => {
    const path = join(folder, 'changing.json');
    const replace = async (text: string): Promise<void> => {
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
    };
    await replace(example);
    const problems: PacificaError[] = [];
    const policy = new EmbeddedPolicy(await SiteRules.open(path, (error) => problems.push(error)));
    const allowed = entries(10, '1235', 54);
    await expect(policy.check(allowed, 'dmlb2001')).rejects.toMatchObject({ code: 'forbidden' });
    await replace(example.replace('"users": [100]', '"users": [10, 100]'));
    await policy.check(allowed, 'dmlb2001');
    await replace('{broken');
    await policy.check(allowed, 'dmlb2001');
    await policy.check(allowed, 'dmlb2001');
    expect(problems).toMatchObject([{ code: 'invalid', message: expect.stringContaining(path) as string }]);
    await rm(path);
    await policy.check(allowed, 'dmlb2001');
    expect(problems).toHaveLength(2);
    await replace(example);
    await expect(policy.check(allowed, 'dmlb2001')).rejects.toMatchObject({ code: 'forbidden' });
    expect(problems).toHaveLength(2);
  });
});
