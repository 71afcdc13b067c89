import { describe } from 'vitest';
import { jobBackendContract } from '../contract/job-backend.js';
import { jobProcessesContract } from '../contract/job-processes.js';
import { jobQueueContract } from '../contract/job-queue.js';
import { mongoPlace } from '../support/job-places.js';

/** Any server that speaks MongoDB's protocol: `mongodb://127.0.0.1:27017/` */
const server = process.env.PACIFICA_TEST_MONGODB_URL;

describe.skipIf(server === undefined)('MongoDB (PACIFICA_TEST_MONGODB_URL names a server)', () => {
  jobBackendContract('MongoDB', () => mongoPlace(server));
  jobQueueContract('MongoDB', () => mongoPlace(server));
  jobProcessesContract('MongoDB', () => mongoPlace(server));
});
