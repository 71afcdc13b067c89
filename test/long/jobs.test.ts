import { afterAll, describe } from 'vitest';
import { jobChurnContract } from '../contract/job-churn.js';
import { jobOutageContract } from '../contract/job-outage.js';
import { mongoPlace, postgresPlace, sqlitePlace } from '../support/job-places.js';
import { mongoUrl, startFerret } from '../support/mongo.js';
import { startPostgres } from '../support/postgres.js';
import { tcpGate } from '../support/tcp-gate.js';

/** seconds that a server is away */
const AWAY = 20;

const JOBS = process.env.PACIFICA_LONG === 'short' ? 240 : 2000;

const postgres = await startPostgres();

jobChurnContract('SQLite', sqlitePlace, JOBS);

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  afterAll(() => postgres?.stop());
  jobChurnContract('PostgreSQL', () => postgresPlace(postgres), JOBS);
  if (postgres !== undefined) jobOutageContract('PostgreSQL', postgres, () => postgresPlace(postgres), AWAY);
});

describe.skipIf(mongoUrl === undefined)('MongoDB (PACIFICA_TEST_MONGODB_URL names a server)', async () => {
  jobChurnContract('MongoDB', () => mongoPlace(mongoUrl), JOBS);
  if (mongoUrl === undefined) return;
  const ferret = await startFerret();
  afterAll(() => ferret?.stop());
  if (ferret !== undefined) {
    jobOutageContract('FerretDB', ferret, () => mongoPlace(ferret.url), AWAY);
    return;
  }
  // a server that is not ours to stop: the way to it is cut
  const gate = await tcpGate(Number(new URL(mongoUrl).port) || 27_017);
  jobOutageContract('MongoDB', gate, () => mongoPlace(mongoUrl, gate.port), AWAY);
});
