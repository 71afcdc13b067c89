// A client that costs little: keeps connections busy with requests of one kind and tells how many seconds the answers took.
// `port GET|PUT connections requests first files`: names are the numbers from `first` on, `files` of them in turn.
import { connect } from 'node:net';

const [port, method, connections, requests, first, files] = process.argv
  .slice(2)
  .map((word) => (/^[0-9]+$/.test(word) ? Number(word) : word));

const SIZE = 4096;
const body = Buffer.alloc(SIZE, 'pacifica');
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const expected = method === 'GET' ? [200] : [201, 204];

let sent = 0;
let answered = 0;
const failed = new Map();
const started = process.hrtime.bigint();

for (let number = 0; number < connections; number += 1) open();

function open() {
  // one buffer a connection: an answer of 4 KiB and its headers are no more than a read or two
  const buffer = Buffer.allocUnsafe(64 * 1024);
  let rest = -1;
  let gathered = '';
  const socket = connect({
    port,
    host: '127.0.0.1',
    onread: {
      buffer,
      callback(length) {
        let at = 0;
        if (rest === -1) {
          const end = gathered === '' ? buffer.subarray(0, length).indexOf(END_OF_HEAD) : -1;
          if (end === -1) {
            gathered += buffer.latin1Slice(0, length);
            const far = gathered.indexOf('\r\n\r\n');
            if (far === -1) return true;
            begin(gathered.slice(0, far));
            at = length - (gathered.length - far - 4);
            gathered = '';
          } else {
            begin(buffer.latin1Slice(0, end));
            at = end + 4;
          }
        }
        rest -= length - at;
        if (rest > 0) return true;
        if (rest < 0) throw new Error('more came than was announced');
        rest = -1;
        answered += 1;
        if (answered === requests) finish();
        else ask();
        return true;
      },
    },
  });
  socket.setNoDelay();
  socket.on('connect', ask);
  socket.on('error', (error) => {
    throw error;
  });
  socket.on('close', () => {
    if (answered < requests) throw new Error(`a connection was closed after ${answered} answers`);
  });

  function begin(head) {
    const status = Number(head.slice(9, 12));
    if (!expected.includes(status)) failed.set(status, (failed.get(status) ?? 0) + 1);
    rest = Number(/^content-length: *([0-9]+)/im.exec(head)?.[1] ?? 0);
  }

  function ask() {
    if (sent === requests) return;
    const name = first + (sent % files);
    sent += 1;
    const head = `${method} /${name} HTTP/1.1\r\nHost: localhost\r\n`;
    if (method === 'GET') socket.write(`${head}\r\n`, 'latin1');
    else {
      socket.cork();
      socket.write(`${head}Content-Length: ${SIZE}\r\n\r\n`, 'latin1');
      socket.write(body);
      socket.uncork();
    }
  }
}

function finish() {
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  if (failed.size > 0) {
    console.error(`answers of another kind: ${JSON.stringify([...failed])}`);
    process.exit(1);
  }
  console.log(seconds);
  process.exit(0);
}
