/** Types of files that most people can tell by the name; everything else is honest bytes. */
const TYPES: Readonly<Record<string, string>> = {
  csv: 'text/csv',
  gif: 'image/gif',
  gz: 'application/gzip',
  h5: 'application/x-hdf5',
  hdf5: 'application/x-hdf5',
  html: 'text/html',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  json: 'application/json',
  log: 'text/plain',
  md: 'text/markdown',
  nc: 'application/x-netcdf',
  pdf: 'application/pdf',
  png: 'image/png',
  tar: 'application/x-tar',
  tif: 'image/tiff',
  tiff: 'image/tiff',
  tsv: 'text/tab-separated-values',
  txt: 'text/plain',
  xml: 'application/xml',
  zip: 'application/zip',
};

/** @returns the media type of a file by its name's extension; `application/octet-stream` when that says nothing */
export function mimetypeOf(name: string): string {
  const dot = name.lastIndexOf('.');
  const type = dot > 0 ? TYPES[name.slice(dot + 1).toLowerCase()] : undefined;
  return type ?? 'application/octet-stream';
}
