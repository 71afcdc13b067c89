import { once } from 'node:events';
import { channel } from 'node:diagnostics_channel';
import { Agent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import { tunnelFor } from './tunnel.js';

// Requests as Node's own client sends them: it is there when a command starts, where a library takes longer to load than
// all the rest of the command.

/** ms that an idle connection is kept: less than servers do, so that none is used that the other side just closes */
const IDLE = 4000;

/** Sent to whoever subscribes: what goes out and comes in, without bodies. */
export interface Exchanged {
  readonly sign: '>' | '<' | '!';
  /** a request or status line and headers, or an error */
  readonly lines: readonly string[];
}

/** where {@link Exchanged} are told */
export const EXCHANGES = 'pacifica:http';
const exchanges = channel(EXCHANGES);

export interface ExchangeOptions {
  method: string;
  headers: Readonly<Record<string, string>>;
  body: Buffer | string | AsyncIterable<Uint8Array> | undefined;
  /** ms until a connection must stand */
  connectTimeout: number;
  /** ms of waiting for the other side to take a piece of the body, and for the headers of its answer after the last one */
  headersTimeout: number;
  signal: AbortSignal | undefined;
}

/** Node's error for what takes too long has this code, so ours have it too. */
function timeout(message: string): Error {
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}

/** Connections to one service. They are kept for a while and used again. */
export class Connections {
  readonly #options = { keepAlive: true, timeout: IDLE };
  #http: Agent | undefined;
  #https: Agent | undefined;
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Sends a request.
   * @returns the answer when its headers are there; its body is to be read to the end, or destroyed
   * @throws Error with a code of Node's, `ETIMEDOUT`, or what the body throws
   */
  async exchange(target: string, options: ExchangeOptions): Promise<IncomingMessage> {
    const url = new URL(target);
    const { method, headers, signal, connectTimeout } = options;
    const agent = await this.#agentFor(url);
    signal?.throwIfAborted();
    const request = httpRequest(url, { method, headers, agent, signal });
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    // once an answer is there, what becomes of the request is told by the answer's body
    request.on('error', (error) => tell('!', [error.message]));
    boundConnecting(request, connectTimeout);
    if (exchanges.hasSubscribers) tell('>', headOf(request));
    // fails together with the answer
    const sent = send(request, options);
    const [answer] = await Promise.race([answered, sent.then(() => answered)]);
    if (exchanges.hasSubscribers) tell('<', headOfAnswer(answer));
    // without a body there is nothing that anybody would read: the connection is free again
    if (method === 'HEAD' || answer.statusCode === 204) answer.resume();
    return answer;
  }

  /** Cuts all connections. */
  close(): void {
    this.#closed = true;
    this.#http?.destroy();
    this.#https?.destroy();
  }

  async #agentFor(url: URL): Promise<Agent> {
    if (this.#closed) throw Object.assign(new Error('the connections are closed'), { code: 'ECONNRESET' });
    if (url.protocol === 'http:') return (this.#http ??= new Agent(this.#options));
    return (this.#https ??= await tunnelFor(url, this.#options));
  }
}

/** A connection that does not come to stand must not be waited for. */
function boundConnecting(request: ClientRequest, ms: number): void {
  const timer = setTimeout(() => request.destroy(timeout(`no connection within ${ms} ms`)), ms);
  const stands = (): void => clearTimeout(timer);
  request.once('close', stands);
  request.once('socket', (socket: Socket & { secureConnecting?: boolean }) => {
    if (socket.secureConnecting === true) socket.once('secureConnect', stands);
    else if (socket.connecting) socket.once('connect', stands);
    else stands();
  });
}

/** Sends the body, as long as nobody answers before it is all there: then the rest is of no use. */
async function send(request: ClientRequest, { body, headersTimeout }: ExchangeOptions): Promise<void> {
  const slow = timeout(`no answer within ${headersTimeout} ms`);
  // while the source of the body is slow nobody waits for the other side
  let waiting = true;
  const timer = setTimeout(() => {
    if (waiting) request.destroy(slow);
    else timer.refresh();
  }, headersTimeout);
  let answer: IncomingMessage | undefined;
  // the connection is what a process waits for
  timer.unref();
  request.once('response', (message: IncomingMessage) => {
    answer = message;
    clearTimeout(timer);
    // a connection whose request was not sent to its end can not be used again
    message.once('close', () => {
      if (!request.writableFinished) request.destroy();
    });
  });
  request.once('close', () => clearTimeout(timer));
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) {
    request.end(body);
    return;
  }
  request.flushHeaders();
  try {
    waiting = false;
    for await (const piece of body) {
      if (answer !== undefined || request.destroyed) break;
      waiting = true;
      timer.refresh();
      await written(request, piece);
      waiting = false;
    }
    waiting = true;
    timer.refresh();
    if (answer === undefined) request.end();
  } catch (error) {
    request.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Resolves when the piece is on its way, so that its buffer can be used again, or when that can not be any more. */
function written(request: ClientRequest, piece: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      request.off('close', done);
      resolve();
    };
    request.once('close', done);
    request.write(piece, done);
  });
}

function tell(sign: Exchanged['sign'], lines: readonly string[]): void {
  const message: Exchanged = { sign, lines };
  exchanges.publish(message);
}

function headOf(request: ClientRequest): string[] {
  const headers = request.getRawHeaderNames().map((name) => `${name}: ${String(request.getHeader(name))}`);
  return [`${request.method} ${request.path} HTTP/1.1`, ...headers];
}

function headOfAnswer({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string[] {
  const headers = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [`${name}: ${rawHeaders[index + 1] ?? ''}`] : [],
  );
  return [`HTTP/1.1 ${statusCode ?? ''} ${statusMessage ?? ''}`, ...headers];
}
