import { PacificaError } from '../lib/errors.js';
import { CartManifest } from './cart-manifest.js';
import { type RestOf, restHeaders } from './download.js';
import { HttpClient, type HttpRequest, type HttpResponse, retrying } from './http.js';
import { pathSegment } from './path-segment.js';
import { poll, type PollOptions } from './poll.js';
import { speaksOfHash } from './speaks-of-hash.js';

/** What POST takes (wire.md, cart part); the service checks the files. */
export interface CartRequest {
  readonly fileids: readonly unknown[];
  readonly bundle?: boolean;
}

export interface CartState {
  /** `waiting`, `staging`, `bundling`, `ready`, `error` */
  readonly status: string;
  /** empty when nothing is wrong */
  readonly message: string;
  /** how far it is; absent from an original service */
  readonly progress?: CartProgress;
}

export interface CartProgress {
  readonly filesReady: number;
  readonly filesTotal: number;
  readonly bytesReady: number;
  /** undefined until all sizes are known */
  readonly bytesTotal: number | undefined;
}

/** bytes of a status that are taken: a million failures */
const STATUS_LIMIT = 512 * 1024 * 1024;

/** Talks to a cart service: ours or an original one. What may pass is tried again for 30 s, except in {@link get}. */
export class CartClient {
  readonly #http = new HttpClient('the cart service');
  readonly #url: string;
  readonly #signal: AbortSignal | undefined;

  /** @param url base URL without a slash at its end */
  constructor(url: string, options: { signal?: AbortSignal } = {}) {
    this.#url = url;
    this.#signal = options.signal;
  }

  /** Asks for a cart. Doing it twice makes a second cart that takes the place of the first. */
  async create(uid: string, request: CartRequest): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify(request);
    await this.#retrying(async () => {
      const response = await this.#request({ method: 'POST', headers, body }, uid);
      if (response.status !== 201) throw await this.#http.serviceError(response);
      await response.discard();
    });
  }

  /** @throws PacificaError `not-found` when there is no such cart, or no longer */
  async status(uid: string): Promise<CartState> {
    return this.#retrying(async () => {
      const response = await this.#request({ method: 'HEAD' }, uid);
      await response.discard();
      const status = response.header('x-pacifica-status');
      const message = decode(response.header('x-pacifica-message') ?? '');
      if (response.status === 404) throw missing(uid);
      if (status === undefined || ![204, 500].includes(response.status)) throw await this.#http.serviceError(response);
      const progress = progressOf(response);
      return { status, message, ...(progress !== undefined && { progress }) };
    });
  }

  /**
   * @returns all that the service tells about a cart, each failed file too; only status and message from an original one
   * @throws PacificaError `not-found` when there is no such cart, or no longer
   */
  async details(uid: string): Promise<object> {
    const details = await this.#retrying(async () => {
      const response = await this.#request({ method: 'GET' }, uid, '/status');
      if (response.status === 200) return response.json(STATUS_LIMIT);
      if (response.status !== 404) throw await this.#http.serviceError(response);
      await response.discard();
      return undefined;
    });
    if (typeof details === 'object' && details !== null) return details;
    const { status, message } = await this.status(uid);
    return { uid, status, message };
  }

  /**
   * @param answer of {@link get}, which tells whether there is one
   * @returns the manifest; undefined from a service that has none. Close it.
   */
  async manifest(uid: string, answer: Pick<HttpResponse, 'header'>): Promise<CartManifest | undefined> {
    if (!/rel="?describedby"?/.test(answer.header('link') ?? '')) return undefined;
    return this.#retrying(async () => {
      const response = await this.#request({ method: 'GET' }, uid, '/manifest');
      if (response.status !== 200) throw await this.#http.serviceError(response);
      return CartManifest.read(response.body);
    });
  }

  /**
   * Asks for the tar, or the rest of it. Its top folder is the uid.
   * @throws PacificaError `not-ready`, `not-found`, `internal` with the cart's message when it is in error
   */
  async get(uid: string, rest?: RestOf): Promise<HttpResponse> {
    const query = `?filename=${encodeURIComponent(uid)}.tar`;
    const response = await this.#request({ method: 'GET', headers: restHeaders(rest) }, uid, query);
    switch (response.status) {
      case 200:
      case 206:
        return response;
      case 202:
        await response.discard();
        throw new PacificaError('not-ready', `cart ${uid} is not ready yet`, {
          hint: `see how far it is with "pacifica cart status ${uid}"`,
        });
      case 404:
        await response.discard();
        throw missing(uid);
      default: {
        const error = await this.#http.serviceError(response);
        if (response.status !== 500) throw error;
        // an error of the cart's own will not pass; one of the service may
        const { status, message } = await this.status(uid);
        throw status === 'error' ? cartFailure(uid, message) : error;
      }
    }
  }

  /** @throws PacificaError `not-found` when there is no such cart, or no longer */
  async delete(uid: string): Promise<void> {
    let tries = 0;
    await this.#retrying(async () => {
      tries += 1;
      const response = await this.#request({ method: 'DELETE' }, uid);
      if (response.status === 404) {
        await response.discard();
        // it may have been us: the answer to the first try got lost
        if (tries > 1) return;
        throw missing(uid);
      }
      if (response.status !== 200) throw await this.#http.serviceError(response);
      await response.discard();
    });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  #request(request: Omit<HttpRequest, 'url'>, uid: string, rest = ''): Promise<HttpResponse> {
    const url = `${this.#url}/${pathSegment('cart uid', uid)}${rest}`;
    return this.#http.request({ ...request, url, signal: this.#signal });
  }

  #retrying<T>(work: () => Promise<T>): Promise<T> {
    return retrying(work, { signal: this.#signal });
  }
}

/**
 * Reads a list of files as people write it: the body of POST itself, or its list of files alone.
 * @throws PacificaError `invalid` when there is no list; what stands in it is checked by the service
 */
export function cartRequest(document: unknown): CartRequest {
  if (Array.isArray(document)) {
    if (document.length === 0) throw new PacificaError('invalid', 'the list of files is empty');
    return { fileids: document };
  }
  // a single line of a list of lines
  if (typeof document === 'object' && document !== null && 'path' in document) return { fileids: [document] };
  if (typeof document === 'object' && document !== null && 'fileids' in document && Array.isArray(document.fileids)) {
    const bundle = 'bundle' in document && typeof document.bundle === 'boolean' ? document.bundle : undefined;
    return { fileids: document.fileids, bundle };
  }
  throw new PacificaError('invalid', 'the list of files is neither a JSON list nor an object with a list "fileids"', {
    hint: 'write [{"id": "12345", "path": "a/b.txt", "hashtype": "sha1", "hashsum": "f1d2..."}]',
  });
}

/**
 * Waits for the end of a cart.
 * @returns when it is ready
 * @throws PacificaError `not-found` when it is deleted meanwhile, {@link cartFailure}
 */
export async function waitForCart(
  client: CartClient,
  uid: string,
  options: PollOptions<CartState>,
): Promise<CartState> {
  const state = await poll(
    () => client.status(uid),
    ({ status }) => status === 'ready' || status === 'error',
    options,
  );
  if (state.status === 'error') throw cartFailure(uid, state.message);
  return state;
}

/** The error of a cart whose status is `error`: `integrity` when its message says that a hash was wrong. */
function cartFailure(uid: string, message: string): PacificaError {
  const why = message === '' ? 'the service does not say why' : message;
  return new PacificaError(speaksOfHash(message) ? 'integrity' : 'internal', `cart ${uid} failed: ${why}`);
}

/** @returns undefined when the service does not tell */
function progressOf(response: HttpResponse): CartProgress | undefined {
  const number = (name: string): number => Number(response.header(`x-pacifica-${name}`) ?? NaN);
  const [filesReady, filesTotal, bytesReady] = [number('files-ready'), number('files-total'), number('bytes-ready')];
  if (Number.isNaN(filesReady + filesTotal + bytesReady)) return undefined;
  const bytesTotal = number('bytes-total');
  return { filesReady, filesTotal, bytesReady, bytesTotal: Number.isNaN(bytesTotal) ? undefined : bytesTotal };
}

function missing(uid: string): PacificaError {
  return new PacificaError('not-found', `there is no cart ${uid}, or it has been deleted`);
}

/** What is not printable ASCII comes percent-encoded; original services send it as it is. */
function decode(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
