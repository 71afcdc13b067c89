import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeBundle } from '../support/bundle.js';
import { curl } from '../support/curl.js';
import { type JobState, jobEnd } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';

let home: string;
let daemon: Daemon;
let rules: string;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-policy-'));
  rules = join(home, 'rules.json');
  const document = {
    users: [{ _id: 10, network_id: 'dmlb2001' }],
    instruments: [{ _id: 54 }],
    projects: [{ _id: '1234a', users: [10], instruments: [54] }],
  };
  writeFileSync(rules, JSON.stringify(document));
  daemon = await startServe(join(home, 'data'), { PACIFICA_POLICY_RULES: rules });
});
afterAll(async () => {
  await daemon.stop('SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

async function upload(user: string | undefined, content: string): Promise<JobState> {
  const { file } = makeBundle(home, [{ path: 'a.txt', content }]);
  const header = user === undefined ? [] : ['-H', `X-Http-Authed-User: ${user}`];
  const answer = await curl([...header, '--data-binary', `@${file}`, `${daemon.urls.ingest}/upload`]);
  return jobEnd(daemon, (answer.json() as JobState).job_id);
}

it("an ingest that the site's rules allow passes", async () => {
  expect(await upload('dmlb2001', 'allowed')).toMatchObject({ state: 'OK', task: 'ingest metadata', exception: '' });
});

it.each([
  [undefined, 'user "root" is not in the site\'s rules'],
  ['somebody', 'user "somebody" is not in the site\'s rules'],
])('one by %s is refused with the reason, and nothing of it is to be seen', async (user, reason) => {
  const content = `refused ${String(user)}`;
  expect(await upload(user, content)).toMatchObject({
    state: 'FAILED',
    task: 'Policy Validation',
    exception: expect.stringContaining(reason) as string,
  });
  const found = await fetch(`${daemon.urls.catalog}/files?name=a.txt`);
  expect(await found.json()).toHaveLength(1);
});

it('a file that can not be used, or that nobody would ask, is told at the start', async () => {
  const broken = join(home, 'broken.json');
  writeFileSync(broken, '{"users": 7}');
  const start = (env: NodeJS.ProcessEnv): Promise<Daemon> => startServe(join(home, 'other'), env);
  await expect(start({ PACIFICA_POLICY_RULES: broken })).rejects.toThrow(/ended with 2.*broken\.json: .*\\"users\\"/s);
  await expect(start({ PACIFICA_POLICY_RULES: join(home, 'none') })).rejects.toThrow(/ended with 3.*rules file/s);
  const both = { PACIFICA_POLICY_RULES: rules, PACIFICA_POLICY_INGEST_URL: 'http://127.0.0.1:1/ingest' };
  await expect(start(both)).rejects.toThrow(/ended with 2.*\[policy\] rules/s);
});
