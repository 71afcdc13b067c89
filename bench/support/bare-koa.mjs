// What Koa can do: a log line a request, the file opened, looked at, read and closed, a few headers; no record, checksum,
// validator, range or condition. `folder log`: serves the folder's files by their names, prints its port.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import Koa from 'koa';
import { destination, pino } from 'pino';

const [folder = '', logFile = ''] = process.argv.slice(2);
const log = pino(destination({ dest: logFile, sync: false }));

const app = new Koa();
app.use(async (ctx, next) => {
  const started = performance.now();
  ctx.res.once('close', () =>
    log.info({ method: ctx.method, url: ctx.url, status: ctx.res.statusCode, ms: performance.now() - started }),
  );
  await next();
});
app.use((ctx) => {
  const fd = openSync(join(folder, ctx.path), 'r');
  const { size, mtime } = fstatSync(fd);
  const bytes = Buffer.allocUnsafe(size);
  readSync(fd, bytes, 0, size, 0);
  closeSync(fd);
  ctx.set({
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(size),
    'Last-Modified': mtime.toUTCString(),
  });
  ctx.body = bytes;
});
const server = createServer(app.callback());
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
