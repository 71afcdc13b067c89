import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../support/run.js';
import { type Daemon, startServe } from '../support/serve.js';
import { filesBelow } from '../support/tree.js';

/** the original command-line client, unchanged: `pip install pacifica-cli` */
const program = process.env.PACIFICA_CLI ?? 'pacifica-cli';
const available = spawnSync(program, ['--version']).status === 0;

const RULES = {
  users: [
    { _id: 10, network_id: 'dmlb2001', first_name: 'Davidé', last_name: 'Browné Jr' },
    { _id: 100, network_id: 'other', first_name: 'Some', last_name: 'Other' },
    // no web server that checks users stands in front here
    { _id: 1, network_id: 'root', first_name: 'The', last_name: 'Operator', admin: true },
  ],
  instruments: [
    { _id: 54, name_short: 'NMR', display_name: 'Nittany Liquid Probes' },
    { _id: 104, name_short: 'TEM', display_name: 'Nanoscale Transmogriscope' },
  ],
  projects: [
    { _id: '1234a', title: 'Pacifica Development (active no close)', users: [10], instruments: [54] },
    { _id: '1235', title: 'Pacifica Development (no close or end)', users: [100], instruments: [104] },
  ],
};

/** What the client asks of the policy service, in the form of its own documentation. */
const QUESTIONS = [
  {
    metaID: 'logon',
    destinationTable: 'Transactions.submitter',
    sourceTable: 'users',
    queryDependency: {},
    queryFields: ['first_name', 'last_name', '_id'],
    displayType: 'logged_on',
    displayTitle: 'Currently Logged On',
    displayFormat: '{_id} - {first_name} {last_name}',
    valueField: '_id',
    value: '',
  },
  {
    metaID: 'project',
    destinationTable: 'Transactions.project',
    sourceTable: 'projects',
    queryDependency: { instrument_id: 'instrument' },
    queryFields: ['_id', 'title'],
    displayType: 'select',
    displayTitle: 'Project ID',
    displayFormat: '{_id} - {title}',
    valueField: '_id',
    value: '',
  },
  {
    metaID: 'instrument',
    destinationTable: 'Transactions.instrument',
    sourceTable: 'instruments',
    queryDependency: {},
    queryFields: ['_id', 'name_short', 'display_name'],
    displayType: 'select',
    displayTitle: 'Instrument ID',
    displayFormat: '{_id} {name_short} - {display_name}',
    valueField: '_id',
    value: '',
  },
  {
    metaID: 'user-of-record',
    destinationTable: 'TransactionKeyValue',
    key: 'User of Record',
    sourceTable: 'users',
    queryDependency: { project_id: 'project' },
    queryFields: ['first_name', 'last_name', '_id'],
    displayType: 'select',
    displayTitle: 'User ID the data is for',
    displayFormat: '{_id} - {first_name} {last_name}',
    valueField: '_id',
    value: '',
  },
  {
    metaID: 'directory-project',
    destinationTable: 'NothingReally',
    sourceTable: 'projects',
    queryDependency: { _id: 'project' },
    queryFields: ['_id'],
    directoryOrder: 0,
    displayType: 'directoryTree',
    displayFormat: 'Project ID {_id}',
    valueField: '_id',
    value: '',
  },
];

describe.skipIf(!available)(`an unchanged ${program}, with nothing but ours`, () => {
  let home: string;
  let daemon: Daemon;
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'pacifica-cli-'));
    writeFileSync(join(home, 'rules.json'), JSON.stringify(RULES));
    writeFileSync(join(home, 'uploader.json'), JSON.stringify(QUESTIONS));
    daemon = await startServe(join(home, 'data'), { PACIFICA_POLICY_RULES: join(home, 'rules.json') });
    const { ingest, catalog, cart } = daemon.urls;
    writeFileSync(
      join(home, 'config.ini'),
      `[endpoints]
upload_url = ${ingest}/upload
upload_status_url = ${ingest}/get_state
upload_policy_url = ${catalog}/uploader
upload_validation_url = ${catalog}/ingest
download_url = ${cart}
download_policy_url = ${catalog}/status/transactions/by_id
`,
    );
  });
  afterAll(async () => {
    await daemon.stop('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  });

  async function client(command: string, ...args: string[]): Promise<string> {
    // its home is where it keeps a folder of its own
    const env = [
      `HOME=${home}`,
      `UPLOADER_CONFIG=${join(home, 'uploader.json')}`,
      `PACIFICA_CLI_INI=${join(home, 'config.ini')}`,
    ];
    return run('env', [...env, program, command, ...args], home);
  }

  it('uploads, and downloads the same', async () => {
    mkdirSync(join(home, 'src/sub'), { recursive: true });
    writeFileSync(join(home, 'src/one.txt'), 'one\n');
    writeFileSync(join(home, 'src/sub/größe.bin'), Buffer.alloc(1_500_000, 'pacifica '));
    writeFileSync(join(home, 'src/empty'), '');
    const told = await client('upload', '--logon', 'dmlb2001', 'src');
    expect(told).toContain('Setting instrument to 54.');
    expect(told).toContain('Setting project to 1234a.');
    const state = JSON.parse(told.slice(told.indexOf('{'))) as Record<string, unknown>;
    expect(state).toMatchObject({ state: 'OK', task: 'ingest metadata', exception: '' });
    const info = await (await fetch(`${daemon.urls.catalog}/transactioninfo/by_id/${String(state.job_id)}`)).json();
    expect(info).toMatchObject({ submitter: 10, project: '1234a', key_values: { 'User of Record': '10' } });

    mkdirSync(join(home, 'out'));
    await client('download', '--transaction-id', String(state.job_id), '--destination', join(home, 'out'));
    const [sent, got] = [join(home, 'src'), join(home, 'out/data/Project ID 1234a/src')];
    expect(await filesBelow(sent)).toHaveLength(3);
    expect(await run('diff', ['-r', sent, got])).toBe('');
  });

  it('is refused what the rules do not allow', async () => {
    writeFileSync(join(home, 'two.txt'), 'two\n');
    // it is told of no project with this instrument
    const asked = client('upload', '--logon', 'dmlb2001', '--instrument', '104', 'two.txt');
    await expect(asked).rejects.toThrow('Could not find value for project');
    // told of one by hand, it goes on; the ingest does not
    const told = await client('upload', '--logon', 'dmlb2001', '--instrument', '104', '--project', '1235', 'two.txt');
    expect(JSON.parse(told.slice(told.indexOf('{')))).toMatchObject({
      state: 'FAILED',
      task: 'Policy Validation',
      exception: expect.stringContaining('Invalid values for project ("1235")') as string,
    });
  });
});
