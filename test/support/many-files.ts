import type { MetadataEntry } from '../../src/catalog/catalog.js';

/** @returns the metadata of a transaction with `count` files, their ids from `first` on, and a key/value for each */
export function manyFiles(transaction: number, first: number, count: number): MetadataEntry[] {
  const ids = Array.from({ length: count }, (_, index) => first + index);
  return [
    { destinationTable: 'Transactions._id', value: transaction },
    { destinationTable: 'Transactions.submitter', value: 10 },
    { destinationTable: 'Transactions.project', value: '1234a' },
    { destinationTable: 'Transactions.instrument', value: 54 },
    ...ids.map((id) => ({
      destinationTable: 'Files',
      _id: id,
      name: `f${id}.bin`,
      subdir: 'a',
      size: 1,
      mimetype: 'application/octet-stream',
      hashtype: 'sha1',
      hashsum: id.toString(16).padStart(40, '0'),
      mtime: '2016-11-29T14:09:05',
      ctime: '2016-11-29T14:09:05',
    })),
    ...ids.map((id) => ({ destinationTable: 'FileKeyValue', key: 'number', value: String(id), file_id: id })),
  ];
}
