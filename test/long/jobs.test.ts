import { afterAll, describe } from 'vitest';
import { jobChurnContract } from '../contract/job-churn.js';
import { jobOutageContract } from '../contract/job-outage.js';
import { mongoPlace, postgresPlace, sqlitePlace } from '../support/job-places.js';
import { startPostgres } from '../support/postgres.js';
import { tcpGate } from '../support/tcp-gate.js';

/** seconds that a server is away */
const AWAY = 20;

const postgres = await startPostgres();
const mongodb = process.env.PACIFICA_TEST_MONGODB_URL;

jobChurnContract('SQLite', sqlitePlace);

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  afterAll(() => postgres?.stop());
  jobChurnContract('PostgreSQL', () => postgresPlace(postgres));
  if (postgres !== undefined) jobOutageContract('PostgreSQL', postgres, () => postgresPlace(postgres), AWAY);
});

describe.skipIf(mongodb === undefined)('MongoDB (PACIFICA_TEST_MONGODB_URL names a server)', async () => {
  jobChurnContract('MongoDB', () => mongoPlace(mongodb));
  if (mongodb === undefined) return;
  const way = new URL(mongodb);
  const gate = await tcpGate(Number(way.port) || 27_017);
  jobOutageContract('MongoDB', gate, () => mongoPlace(mongodb, gate.port), AWAY);
});
