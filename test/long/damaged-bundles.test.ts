// a thousand random corruptions of a bundle, where the usual suite has a hundred of them
process.env.PACIFICA_DAMAGES = '1000';
await import('../ingest/damaged-bundles.test.js');
