import { subscribe } from 'node:diagnostics_channel';
import type { DiagnosticsChannel } from 'undici';
import { printable } from './text.js';

/** Headers whose values are nobody's business. */
const SECRET = /^(authorization|proxy-authorization|cookie|set-cookie):.*/i;

/** Writes every HTTP request and answer of this process to stderr: headers without secrets, bodies not at all. */
export function traceHttp(): void {
  subscribe('undici:client:sendHeaders', (message) => {
    const { headers } = message as DiagnosticsChannel.ClientSendHeadersMessage;
    write('>', headers.trim().split('\r\n'));
  });
  subscribe('undici:request:headers', (message) => {
    const { statusCode, statusText, headers } = (message as DiagnosticsChannel.RequestHeadersMessage).response;
    const lines = headers.flatMap((name, index) =>
      index % 2 === 0 ? [`${String(name)}: ${String(headers[index + 1])}`] : [],
    );
    write('<', [`HTTP/1.1 ${statusCode} ${statusText}`, ...lines]);
  });
  subscribe('undici:request:error', (message) => {
    const { error } = message as DiagnosticsChannel.RequestErrorMessage;
    write('!', [error.message]);
  });
}

function write(sign: string, lines: readonly string[]): void {
  const shown = lines.map((line) => `${sign} ${printable(line.replace(SECRET, '$1: ***'))}\n`);
  process.stderr.write(shown.join(''));
}
