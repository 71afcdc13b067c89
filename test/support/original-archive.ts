import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { collect } from './streams.js';

/** Answers as a Pacifica archive interface of the originals does, faults included (recorded answers, CherryPy). */
export class OriginalArchive {
  readonly files = new Map<string, Buffer>();
  /** requests as `METHOD /path` in order */
  readonly requests: string[] = [];
  /** what the next request of a method does instead of answering: `cut` after the work is done, `before` it */
  readonly faults: { method: string; fault: 'cut-after' | 'cut-before' | 'short' | '503' }[] = [];
  url = '';
  readonly #server = createServer((req, res) => void this.#handle(req, res));

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no address');
    this.url = `http://127.0.0.1:${address.port}`;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await Promise.resolve();
  }

  async #handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { method = '', url = '' } = req;
    this.requests.push(`${method} ${url}`);
    const fault = this.faults[0]?.method === method ? this.faults.shift()?.fault : undefined;
    if (fault === 'cut-before') {
      res.destroy();
      return;
    }
    if (fault === '503') {
      res.writeHead(503, { 'Content-Type': 'text/html' });
      res.end('<html>down</html>');
      return;
    }
    const { pathname, searchParams } = new URL(url, 'http://x');
    const id = pathname.slice(1);
    const body = await collect(req as AsyncIterable<Buffer>).catch(() => undefined);
    if (body === undefined) return;
    const done = this.#work(method, id, body, req, searchParams.get('byte_range'));
    if (fault === 'cut-after') {
      res.destroy();
      return;
    }
    // CherryPy under uwsgi: GET has no length and the connection is closed at its end
    res.useChunkedEncodingByDefault = false;
    res.writeHead(done.status, { Server: 'CherryPy/18.8.0', ...done.headers, Connection: 'close' });
    if (fault === 'short') res.end(done.body.subarray(0, done.body.length / 2));
    else res.end(done.body);
  }

  #work(
    method: string,
    id: string,
    body: Buffer,
    req: IncomingMessage,
    range: string | null,
  ): { status: number; headers: Record<string, string>; body: Buffer } {
    const file = this.files.get(id);
    switch (method) {
      case 'PUT':
        if (req.headers['content-length'] === undefined) {
          this.files.set(id, Buffer.alloc(0));
          return failure('ValueError: no length');
        }
        this.files.set(id, body);
        return json(201, { message: 'File added to archive', total_bytes: body.length });
      case 'HEAD':
        if (file === undefined) return { ...failure(''), body: Buffer.alloc(0) };
        return {
          status: 204,
          headers: {
            'Content-Type': 'application/json',
            'X-Pacifica-Messsage': 'File was found',
            'X-Pacifica-File': `/srv/archive/${id}`,
            'X-Content-Length': String(file.length),
            'Last-Modified': '1795175014.224183',
            'X-Pacifica-Ctime': '1795175015.2216218',
            'X-Pacifica-Bytes-Per-Level': `(${file.length},)`,
            'X-Pacifica-File-Storage-Media': 'disk',
          },
          body: Buffer.alloc(0),
        };
      case 'PATCH':
        return failure("FileNotFoundError: [Errno 2] No such file or directory: '/srv/nope'");
      default:
        if (file === undefined) return failure(`ArchiveInterfaceError: [Errno 2] No such file or directory: '${id}'`);
    }
    if (method === 'POST') {
      if (req.headers['content-length'] === undefined)
        return json(411, { message: 'Client must specify Content-Length' });
      return json(200, { message: 'File was staged', file: id });
    }
    if (method === 'DELETE') {
      this.files.delete(id);
      return { status: 200, headers: { 'Content-Type': 'application/json' }, body: Buffer.alloc(0) };
    }
    const [start, end] = range === null ? [0, file.length] : range.split('-').map(Number);
    return { status: 200, headers: { 'Content-Type': 'application/octet-stream' }, body: file.subarray(start, end) };
  }
}

function json(status: number, value: unknown): { status: number; headers: Record<string, string>; body: Buffer } {
  return { status, headers: { 'Content-Type': 'application/json' }, body: Buffer.from(JSON.stringify(value)) };
}

function failure(traceback: string): { status: number; headers: Record<string, string>; body: Buffer } {
  return json(500, {
    status: '500 Internal Server Error',
    message: 'The server encountered an unexpected condition which prevented it from fulfilling the request.',
    traceback: `Traceback (most recent call last):\n  File "server.py", line 1\n${traceback}\n`,
    version: '18.8.0',
  });
}
