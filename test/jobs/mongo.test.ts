import { describe, expect, it } from 'vitest';
import { openJobQueue } from '../../src/jobs/jobs.js';
import { jobBackendContract } from '../contract/job-backend.js';
import { jobQueueContract } from '../contract/job-queue.js';
import { mongoPlace } from '../support/job-places.js';
import { silent } from '../support/log.js';
import { mongoUrl } from '../support/mongo.js';

describe.skipIf(mongoUrl === undefined)('MongoDB (PACIFICA_TEST_MONGODB_URL names a server)', () => {
  jobBackendContract('MongoDB', () => mongoPlace(mongoUrl));
  jobQueueContract('MongoDB', () => mongoPlace(mongoUrl));

  it.each([
    { what: 'a replica set that the server is not in', change: { query: 'replicaSet=rs-of-nobody' } },
    { what: 'a user that the server does not let in', change: { user: 'me', query: 'authMechanism=SCRAM-SHA-256' } },
  ])('hands to the driver what the URL says: $what', async ({ change: { user = '', query } }) => {
    const place = await mongoPlace(mongoUrl);
    const url = new URL(place.url);
    url.username = user;
    url.password = user === '' ? '' : 'secret';
    url.search = `${query}&serverSelectionTimeoutMS=500`;
    const options = { handlers: new Map(), lockLifetimeMs: 1000, concurrency: 1, work: false, log: silent };
    const error = await openJobQueue({ ...place, ...options, url: url.href }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'unavailable' });
    expect(String(error)).not.toContain('secret');
    await place.close();
  });
});
