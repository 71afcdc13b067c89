import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { systemCode } from '../lib/errors.js';
import { version } from '../lib/version.js';
import { HttpError, errorBody } from './errors.js';
import { wireJson } from './wire-json.js';

/** Makes an HTTP server that does for every service what comes before its routes. */
export function createHttpServer(options: ServerOptions, handler: RequestListener): Server {
  const server = createServer(options, handler);
  deferContinue(server);
  answerBroken(server);
  return server;
}

/**
 * Clients that ask beforehand (`Expect: 100-continue`, RFC 9110, 10.1.1) are told to send the body when somebody begins
 * to read it: until then a refusal costs no transfer.
 */
function deferContinue(server: Server): void {
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
    const onListener = (event: string): void => {
      if (event !== 'data' && event !== 'readable') return;
      req.off('newListener', onListener);
      if (!res.headersSent) res.writeContinue();
    };
    req.on('newListener', onListener);
    server.emit('request', req, res);
  });
}

/** Answers what is no HTTP, and bodies that end too early, with the error body that all services have. */
function answerBroken(server: Server): void {
  const answering = new WeakMap<Duplex, ServerResponse>();
  server.prependListener('request', (req: IncomingMessage, res: ServerResponse) => answering.set(req.socket, res));
  server.on('clientError', (error: Error, socket: Duplex) => {
    const response = answering.get(socket);
    const tooLate = response?.headersSent === true && !response.writableFinished;
    if (!socket.writable || tooLate || systemCode(error) === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const [status, message] = BROKEN[systemCode(error) ?? ''] ?? [400, 'The request is not valid HTTP'];
    const body = wireJson(errorBody(new HttpError(status, message), version, false));
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
}

/** ms that a client which is still sending gets to read the answer */
const LINGER = 5000;

/**
 * For an answer that goes out before the body of the request came: takes the rest of the body for a while, and reads
 * none of it. A connection that is closed with bytes unread is reset, and the client may never see the answer (RFC
 * 9112, 9.6).
 */
export function closeGently(req: IncomingMessage): void {
  const { socket } = req;
  // Node calls it when an answer with "Connection: close" is out
  socket.destroySoon = () => {
    socket.end();
    // whoever read it and was left behind holds it up no more
    req.removeAllListeners('data');
    req.on('pause', () => req.resume());
    req.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER);
    socket.once('close', () => clearTimeout(timer));
  };
}

/** By the codes of Node's HTTP parser. */
const BROKEN: Readonly<Record<string, readonly [number, string]>> = {
  HPE_INVALID_EOF_STATE: [400, 'The request ended before all of it came'],
  HPE_HEADER_OVERFLOW: [431, 'The headers of the request are too large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'The chunk extensions of the request are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request did not come in time'],
};
