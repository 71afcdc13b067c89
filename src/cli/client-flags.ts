import { Flags } from './oclif.js';
import type { SettingName } from '../config/load.js';

// Flags that several client commands have: one name, one letter, one meaning.

const SERVICES = {
  archive: 'Archive interface',
  cart: 'Cart service',
  ingest: 'Ingest service',
  proxy: 'Proxy service',
  catalog: 'Catalog',
} as const;

type Service = keyof typeof SERVICES;

function urlFlag(service: Service) {
  return Flags.string({
    summary: `${SERVICES[service]} to talk to, instead of PACIFICA_${service.toUpperCase()}_URL`,
    helpGroup: 'GLOBAL',
    helpValue: 'URL',
  });
}

export const archiveUrl = { 'archive-url': urlFlag('archive') };
export const cartUrl = { 'cart-url': urlFlag('cart') };
export const ingestUrl = { 'ingest-url': urlFlag('ingest') };
export const proxyUrl = { 'proxy-url': urlFlag('proxy') };
export const catalogUrl = { 'catalog-url': urlFlag('catalog') };

/** Which setting each of these flags stands for. */
export const URL_SETTINGS: Readonly<Record<string, SettingName>> = {
  'archive-url': 'archive.url',
  'cart-url': 'cart.url',
  'ingest-url': 'ingest.url',
  'proxy-url': 'proxy.url',
  'catalog-url': 'catalog.url',
};

export const outputFlag = {
  output: Flags.custom<string | undefined>({
    char: 'o',
    summary: 'Write to this file; it appears when it is whole and checked',
    helpValue: 'FILE',
    // as everywhere: standard output, which is where bytes go without the flag
    parse: async (file) => Promise.resolve(file === '-' ? undefined : file),
  })(),
};

/** Flag of the commands that may take long. */
export const progressFlag = {
  progress: Flags.boolean({ summary: 'Tell on stderr every few seconds how far it is, also in a pipe' }),
};

export const jobsFlag = {
  jobs: Flags.integer({
    char: 'j',
    summary: 'How many at a time',
    default: 4,
    min: 1,
    max: 64,
    helpValue: 'N',
  }),
};
