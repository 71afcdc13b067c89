import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoff, CLIENT_BUDGET, CLIENT_PAUSES } from '../lib/backoff.js';
import {
  type ErrorCode,
  mayPass,
  messageOf,
  PacificaError,
  type PacificaErrorOptions,
  systemCode,
} from '../lib/errors.js';
import { Connections } from './exchange.js';

/** ms until a connection must stand */
const CONNECT_TIMEOUT = 10_000;
/** default ms of waiting for an answer's headers, from the last byte of the request's body on */
const HEADERS_TIMEOUT = 60_000;
/** default ms between two pieces of an answer's body */
const BODY_TIMEOUT = 60_000;
/** bytes of an error's body that are read for its message */
const ERROR_BODY_LIMIT = 64 * 1024;
/** default bytes of a JSON answer that are taken */
const JSON_LIMIT = 64 * 1024 * 1024;

export interface HttpRequest {
  method: string;
  url: string;
  headers?: Readonly<Record<string, string>>;
  /** bytes that are at hand, or a stream; a stream without `size` is sent chunked */
  body?: Buffer | string | AsyncIterable<Uint8Array>;
  /** length of a streamed body in bytes */
  size?: number;
  /** ms of waiting for the headers of the answer; a minute when absent */
  headersTimeout?: number;
  signal?: AbortSignal;
}

/** An answer. Its body must be read to the end or discarded. */
export interface HttpResponse {
  readonly url: string;
  readonly status: number;
  /** @returns a header's value, several of one name joined by `, ` */
  header(name: string): string | undefined;
  /** The bytes as they come. Throws `unavailable` or `timeout` when the connection breaks. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Reads a whole body that is JSON. @throws PacificaError `bad-gateway` when it is none, or longer than `limit` bytes */
  json(limit?: number): Promise<unknown>;
  /** Lets go of a body that nobody reads. */
  discard(): Promise<void>;
}

/**
 * What our services, and CherryPy in the originals, say of a path or a method that they have no use for: whoever hears it
 * has the URL of another service, as a rule.
 */
const ELSEWHERE: readonly unknown[] = [
  'Nothing matches the given URI',
  'Specified method is invalid for this resource',
];

/** A failure that a service answered with. */
export class ServiceError extends PacificaError {
  /** HTTP status */
  readonly status: number;
  /** ms that the service asks us to wait before the next try */
  readonly retryAfter: number | undefined;
  /** the server's own, for whoever looks for the fault; empty in production, never shown to people */
  readonly traceback: string;

  constructor(
    code: ErrorCode,
    message: string,
    options: PacificaErrorOptions & { status: number; retryAfter?: number; traceback?: string },
  ) {
    super(code, message, options);
    this.status = options.status;
    this.traceback = options.traceback ?? '';
    this.retryAfter = options.retryAfter;
  }
}

/**
 * Talks to one service over HTTP. Nothing is tried twice here: wrap the call in {@link retrying} where the body can be
 * sent again. Whatever fails is a PacificaError: `unavailable` and `timeout` from the network, `aborted` by the signal;
 * what the body's own source throws comes out as it is.
 */
export class HttpClient {
  readonly #service: string;
  readonly #connections = new Connections();

  /** @param service its name in messages, with its article: `the archive` */
  constructor(service: string) {
    this.#service = service;
  }

  /** Sends a request. Every status is an answer; see {@link expectStatus} for the ones that are errors. */
  async request(options: HttpRequest): Promise<HttpResponse> {
    const { url, signal } = options;
    const source = new BodySource(options.body, options.size);
    const headers: Record<string, string> = { ...options.headers };
    if (options.size !== undefined) headers['content-length'] = String(options.size);
    try {
      const answer = await this.#connections.exchange(url, {
        method: options.method,
        headers,
        body: source.body,
        connectTimeout: CONNECT_TIMEOUT,
        headersTimeout: options.headersTimeout ?? HEADERS_TIMEOUT,
        signal,
      });
      return this.#response(url, answer, signal);
    } catch (error) {
      throw source.failure ?? this.#networkError(url, error, signal);
    }
  }

  /**
   * As {@link request}, for answers that must have one of the given statuses.
   * @throws ServiceError made of the answer otherwise, see {@link serviceError}
   */
  async expect(statuses: readonly number[], options: HttpRequest): Promise<HttpResponse> {
    const response = await this.request(options);
    if (!statuses.includes(response.status)) throw await this.serviceError(response);
    return response;
  }

  /**
   * Makes an error of an answer that is none of those hoped for: its code is that of the status, its message the
   * server's own (`{"status", "message", "traceback", "version"}`, wire.md) where it sent one. Reads the body.
   */
  async serviceError(response: HttpResponse): Promise<ServiceError> {
    const { status } = response;
    const { message: said, traceback } = await errorDetails(response);
    const where = `${this.#service} at ${response.url}`;
    const code = codeOf(status);
    const isElsewhere = ELSEWHERE.includes(said);
    const message =
      status >= 500 || said === undefined || isElsewhere
        ? `${where} answered ${status}${said === undefined ? '' : `: ${said}`}`
        : said;
    return new ServiceError(code, message, {
      ...(isElsewhere && { hint: `see whether the URL is that of ${this.#service}` }),
      status,
      retryAfter: retryAfter(response.header('retry-after')),
      traceback,
    });
  }

  /** Cuts all connections. */
  close(): Promise<void> {
    this.#connections.close();
    return Promise.resolve();
  }

  #response(url: string, answer: IncomingMessage, signal: AbortSignal | undefined): HttpResponse {
    const broken = (error: unknown): PacificaError => this.#networkError(url, error, signal);
    const where = `${this.#service} at ${url}`;
    // nobody may read the body
    answer.on('error', () => undefined);
    async function* chunks(): AsyncGenerator<Uint8Array> {
      try {
        yield* bounded(answer);
      } catch (error) {
        throw broken(error);
      }
    }
    return {
      url,
      status: answer.statusCode ?? 0,
      header(name) {
        const value = answer.headers[name.toLowerCase()];
        return Array.isArray(value) ? value.join(', ') : value;
      },
      get body() {
        return chunks();
      },
      async json(limit = JSON_LIMIT) {
        const text = await readText(chunks(), limit);
        if (text === undefined) {
          throw new PacificaError('bad-gateway', `${where} answered with more than ${limit} bytes of JSON`);
        }
        try {
          return JSON.parse(text) as unknown;
        } catch (error) {
          throw new PacificaError('bad-gateway', `${where} answered something that is not JSON`, { cause: error });
        }
      },
      async discard() {
        // a short rest is read, so that the connection can be used again
        await readText(chunks(), ERROR_BODY_LIMIT).catch(() => undefined);
      },
    };
  }

  #networkError(url: string, error: unknown, signal: AbortSignal | undefined): PacificaError {
    if (error instanceof PacificaError) return error;
    if (signal?.aborted === true) {
      return signal.reason instanceof PacificaError
        ? signal.reason
        : new PacificaError('aborted', `the request to ${this.#service} was stopped`, { cause: error });
    }
    const origin = URL.canParse(url) ? new URL(url).origin : url;
    const code = systemCode(error) ?? '';
    if (this.#connections.closed) {
      return new PacificaError('aborted', `the connection to ${this.#service} was closed by us`, { cause: error });
    }
    const hint = 'check that it runs, and its URL in the configuration';
    if (code === 'ETIMEDOUT') {
      return new PacificaError('timeout', `${this.#service} at ${origin} did not answer in time`, {
        hint,
        cause: error,
      });
    }
    if (UNSENDABLE.has(code)) {
      return new PacificaError('invalid', `can not send a request to ${url}: ${messageOf(error)}`, { cause: error });
    }
    const text = CONNECT_TEXT[code] ?? messageOf(error);
    return new PacificaError('unavailable', `can not reach ${this.#service} at ${origin}: ${text}`, {
      hint: UNTRUSTED.test(code) ? 'name the file of the certificate authority in NODE_EXTRA_CA_CERTS' : hint,
      cause: error,
    });
  }
}

/** The bytes of an answer as they come. One whose next piece takes too long is cut; a slow reader has all its time. */
async function* bounded(answer: IncomingMessage): AsyncGenerator<Uint8Array> {
  let waiting = true;
  const timer = setTimeout(() => {
    if (!waiting) timer.refresh();
    else answer.destroy(Object.assign(new Error(`no data within ${BODY_TIMEOUT} ms`), { code: 'ETIMEDOUT' }));
  }, BODY_TIMEOUT);
  // who reads no further is no reason to stay
  timer.unref();
  try {
    for await (const piece of answer) {
      waiting = false;
      yield piece as Uint8Array;
      waiting = true;
      timer.refresh();
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Remembers what a streamed body's own source threw: it is the caller's error, not the network's. */
class BodySource {
  readonly body: Buffer | string | AsyncIterable<Uint8Array> | undefined;
  failure: Error | undefined;

  /** @param size bytes that were announced: other ones are the caller's mistake */
  constructor(body: HttpRequest['body'], size: number | undefined) {
    const atHand = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
    this.body = atHand ? body : this.#watched(body, size);
  }

  async *#watched(source: AsyncIterable<Uint8Array>, size: number | undefined): AsyncGenerator<Uint8Array> {
    let sent = 0;
    try {
      for await (const chunk of source) {
        sent += chunk.length;
        if (size !== undefined && sent > size) throw otherLength();
        yield chunk;
      }
      if (size !== undefined && sent < size) throw otherLength();
    } catch (error) {
      this.failure = error instanceof Error ? error : new PacificaError('internal', messageOf(error));
      throw error;
    }
  }
}

function otherLength(): PacificaError {
  return new PacificaError('invalid', 'the data has another length than was announced');
}

/** Codes of requests that can not be: characters that no URL or header may have. */
const UNSENDABLE: ReadonlySet<string> = new Set([
  'ERR_INVALID_CHAR',
  'ERR_INVALID_PROTOCOL',
  'ERR_INVALID_URL',
  'ERR_UNESCAPED_CHARACTERS',
]);

/** Codes of a certificate that nobody known to us has signed. */
const UNTRUSTED = /SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE/;

/** @returns whether somebody has to do something first: the service is there, but nobody vouches for it */
function isUntrusted(error: unknown): boolean {
  return error instanceof PacificaError && UNTRUSTED.test(systemCode(error.cause) ?? '');
}

const CONNECT_TEXT: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was cut',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the host name can not be looked up now',
  EPIPE: 'the connection was cut',
};

function codeOf(status: number): ErrorCode {
  switch (status) {
    case 401:
    case 403:
      return 'forbidden';
    case 404:
    case 410:
      return 'not-found';
    case 408:
    case 504:
      return 'timeout';
    case 409:
      return 'exists';
    case 412:
      return 'precondition';
    case 413:
      return 'too-large';
    case 416:
      return 'range';
    case 429:
    case 503:
      return 'unavailable';
    case 507:
      return 'no-space';
    default:
      return status >= 400 && status < 500 ? 'invalid' : 'bad-gateway';
  }
}

async function errorDetails(response: HttpResponse): Promise<{ message?: string; traceback?: string }> {
  try {
    const text = await readText(response.body, ERROR_BODY_LIMIT);
    if (text === undefined) return {};
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null) return {};
    return {
      message: 'message' in body && typeof body.message === 'string' && body.message !== '' ? body.message : undefined,
      traceback: 'traceback' in body && typeof body.traceback === 'string' ? body.traceback : undefined,
    };
  } catch {
    // the status alone has to do
    return {};
  }
}

/** @returns undefined when there is more than `limit` bytes */
async function readText(chunks: AsyncIterable<Uint8Array>, limit: number): Promise<string | undefined> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > limit) return undefined;
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** RFC 9110, 10.2.3: seconds or an HTTP date. @returns ms */
function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^[0-9]{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

export interface RetryOptions {
  /** ms after which no new try is begun; 30 s when absent */
  budgetMs?: number;
  signal?: AbortSignal;
}

/**
 * Repeats `work` while it fails with what may pass (see mayPass): pauses grow from 0.1 to 5 s, each of random length so
 * that clients don't come all at once, and are never shorter than what the service asked for (Retry-After).
 * Only for work that can be done twice: a body must come from the start each time.
 * @throws the last error when the budget is used up, or what won't pass at once
 */
export async function retrying<T>(work: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const deadline = performance.now() + (options.budgetMs ?? CLIENT_BUDGET);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const asked = error instanceof ServiceError ? (error.retryAfter ?? 0) : 0;
      const delay = Math.max(asked, backoff(attempt, CLIENT_PAUSES));
      const hopeless = !mayPass(error) || isUntrusted(error);
      if (hopeless || options.signal?.aborted === true || performance.now() + delay > deadline) throw error;
      await sleep(delay, undefined, { signal: options.signal }).catch(() => {
        throw error;
      });
    }
  }
}
