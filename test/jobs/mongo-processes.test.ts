import { describe } from 'vitest';
import { jobProcessesContract } from '../contract/job-processes.js';
import { mongoPlace } from '../support/job-places.js';
import { mongoUrl } from '../support/mongo.js';

describe.skipIf(mongoUrl === undefined)('MongoDB (PACIFICA_TEST_MONGODB_URL names a server)', () => {
  jobProcessesContract('MongoDB', () => mongoPlace(mongoUrl));
});
