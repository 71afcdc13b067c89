import { describe } from 'vitest';
import { jobBackendContract } from '../contract/job-backend.js';
import { jobProcessesContract } from '../contract/job-processes.js';
import { jobQueueContract } from '../contract/job-queue.js';
import { mongoPlace } from '../support/job-places.js';
import { mongoUrl } from '../support/mongo.js';

describe.skipIf(mongoUrl === undefined)('MongoDB (PACIFICA_TEST_MONGODB_URL names a server)', () => {
  jobBackendContract('MongoDB', () => mongoPlace(mongoUrl));
  jobQueueContract('MongoDB', () => mongoPlace(mongoUrl));
  jobProcessesContract('MongoDB', () => mongoPlace(mongoUrl));
});
