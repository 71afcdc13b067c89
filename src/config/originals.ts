import { resolve } from 'node:path';
import { fileUrl } from '../lib/file-url.js';
import type { ServiceName } from './setting.js';

// What the original services had, so that a site's files and environment go on working (docs/migrating.md).

/** Environment variables that name a service's INI file. */
export const CONFIG_VARIABLES: Readonly<Record<string, ServiceName>> = {
  ARCHIVEINTERFACE_CONFIG: 'archive',
  CARTD_CONFIG: 'cart',
  INGEST_CONFIG: 'ingest',
  PROXY_CONFIG: 'proxy',
};

/** Keys of CherryPy's `[global]` that mean something here: the setting, with the service's name for `*`. */
export const CHERRYPY: Readonly<Record<string, string>> = {
  'server.socket_host': 'serve.host',
  'server.socket_port': 'serve.*_port',
  'log.access_file': 'log.access_file',
  'log.error_file': 'log.error_file',
};

/** @returns a value of a CherryPy file, which is a Python literal, as an INI file would have it: without quotes */
export function pythonText(value: string): string {
  return /^u?(['"])(.*)\1$/s.exec(value)?.[2] ?? value;
}

/**
 * Says why a section of an original file is left unread.
 * @returns undefined for sections that were none of theirs
 */
export function unusedSection(section: string): string | undefined {
  if (section === 'celery') return 'jobs need no broker here';
  if (section === 'hpss' || section === 'hsm_sideband') return `there is no storage ${section} in this version`;
  if (section === 'global' || section.startsWith('/')) return "it is CherryPy's own";
  return undefined;
}

/** A `peewee_url` in our form: `sqlite:///db` is relative to the current folder there, as in SQLAlchemy; absolute with four slashes. */
export function fromPeewee(url: string): string {
  const relative = /^sqlite[a-z+]*:\/\/\/([^/].*)$/.exec(url);
  return relative === null ? url : `sqlite:///${resolve(relative[1] ?? '')}`;
}

/** @returns the storage that PAI_BACKEND_TYPE and PAI_PREFIX name together, undefined when the second is not set */
export function storageOfEnvironment(env: NodeJS.ProcessEnv): string | undefined {
  const { PAI_BACKEND_TYPE: type = 'posix', PAI_PREFIX: prefix } = env;
  return prefix === undefined ? undefined : fileUrl(type, prefix);
}
