// services that take a request and never answer, for which the usual suite has no time: a minute each
process.env.PACIFICA_ILLNESSES = 'silent';
await import('../ingest/services.test.js');
