import { subscribe } from 'node:diagnostics_channel';
import { EXCHANGES, type Exchanged } from '../client/exchange.js';
import { printable } from './text.js';

/** Headers whose values are nobody's business. */
const SECRET = /^(authorization|proxy-authorization|cookie|set-cookie):.*/i;

/** Writes every HTTP request and answer of this process to stderr: headers without secrets, bodies not at all. */
export function traceHttp(): void {
  subscribe(EXCHANGES, (message) => {
    const { sign, lines } = message as Exchanged;
    const shown = lines.map((line) => `${sign} ${printable(line.replace(SECRET, '$1: ***'))}\n`);
    process.stderr.write(shown.join(''));
  });
}
