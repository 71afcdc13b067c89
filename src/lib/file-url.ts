import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** @returns `scheme:///path` with what URLs need escaped */
export function fileUrl(scheme: string, path: string): string {
  return `${scheme}://${pathToFileURL(resolve(path)).pathname}`;
}
