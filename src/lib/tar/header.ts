/** Bytes of a tar block: headers and data are padded to it (POSIX.1-2017, pax, "ustar Interchange Format"). */
export const BLOCK = 512;

/** GNU tar's record of 20 blocks; a tar's length is a multiple of it. */
const RECORD = 20 * BLOCK;

/** The end of a tar: two blocks of zeros. Filled up to a whole record by {@link tarEndLength}. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** what fits into the eleven octal digits of `size` and `mtime`: 8 GiB - 1, and the year 2242 */
const MAX_OCTAL = 0o77777777777;
const NAME_LENGTH = 100;

export interface TarEntry {
  /** relative, with `/`; a directory's gets its trailing slash here when it has none */
  readonly path: string;
  /** bytes; 0 for a directory */
  readonly size: number;
  /** whole seconds since 1970, may be negative */
  readonly mtime: number;
  readonly type: 'file' | 'directory';
  /** permission bits; 0644 for files and 0755 for directories when absent */
  readonly mode?: number;
}

/**
 * The blocks before an entry's bytes: a ustar header, and a pax header in front of it when the name is not ASCII or longer
 * than 100 bytes, the size 8 GiB or more, or the time before 1970 or after 2242. The same entry gives the same bytes
 * everywhere: owner 0, no names of the machine.
 * @returns a multiple of 512 bytes
 */
export function tarHeader(entry: TarEntry): Buffer {
  const { size, mtime, type, mode } = entry;
  const header = block(
    Buffer.from(nameOf(entry)).subarray(0, NAME_LENGTH),
    mode ?? (type === 'file' ? 0o644 : 0o755),
    size > MAX_OCTAL ? 0 : size,
    Math.min(Math.max(mtime, 0), MAX_OCTAL),
    type === 'file' ? '0' : '5',
  );
  const records = paxRecords(entry);
  if (records === '') return header;
  const body = Buffer.from(records);
  // the name that Python's tarfile gives it: seen only by programs that do not know pax
  const pax = block(Buffer.from('././@PaxHeader'), 0o644, body.length, 0, 'x');
  return Buffer.concat([pax, body, Buffer.alloc(tarPadding(body.length)), header]);
}

/** @returns length in bytes of what {@link tarHeader} makes, without making it */
export function tarHeaderLength(entry: TarEntry): number {
  const body = Buffer.byteLength(paxRecords(entry));
  return body === 0 ? BLOCK : BLOCK + body + tarPadding(body) + BLOCK;
}

/** @returns bytes from the end of data of `size` bytes to the next block */
export function tarPadding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/**
 * @param length bytes of all entries with headers and padding
 * @returns bytes of zeros after them: two blocks at least, up to a whole record as GNU tar does
 */
export function tarEndLength(length: number): number {
  return Math.ceil((length + TAR_END.length) / RECORD) * RECORD - length;
}

function nameOf({ path, type }: TarEntry): string {
  return type === 'directory' && !path.endsWith('/') ? `${path}/` : path;
}

/** What the ustar header can not hold; empty when it holds everything. */
function paxRecords(entry: TarEntry): string {
  const { size, mtime } = entry;
  const name = nameOf(entry);
  let records = '';
  if (name.length > NAME_LENGTH || Buffer.byteLength(name) !== name.length) records += paxRecord('path', name);
  if (size > MAX_OCTAL) records += paxRecord('size', String(size));
  if (mtime < 0 || mtime > MAX_OCTAL) records += paxRecord('mtime', String(mtime));
  return records;
}

/** One record of a pax header: its own length in decimal, ` keyword=value`, a newline. */
function paxRecord(keyword: string, value: string): string {
  const rest = Buffer.byteLength(value) + keyword.length + 3;
  let length = rest;
  while (length !== rest + String(length).length) length = rest + String(length).length;
  return `${length} ${keyword}=${value}\n`;
}

function block(name: Buffer, mode: number, size: number, mtime: number, flag: string): Buffer {
  const buffer = Buffer.alloc(BLOCK);
  name.copy(buffer);
  octal(buffer, 100, 7, mode);
  octal(buffer, 108, 7, 0);
  octal(buffer, 116, 7, 0);
  octal(buffer, 124, 11, size);
  octal(buffer, 136, 11, mtime);
  buffer.write(flag, 156, 'latin1');
  buffer.write('ustar\x0000', 257, 'latin1');
  octal(buffer, 329, 7, 0);
  octal(buffer, 337, 7, 0);
  // the checksum is taken with eight spaces in its own place
  buffer.fill(' ', 148, 156);
  let sum = 0;
  for (const byte of buffer) sum += byte;
  buffer.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return buffer;
}

function octal(buffer: Buffer, offset: number, digits: number, value: number): void {
  buffer.write(value.toString(8).padStart(digits, '0'), offset, 'latin1');
}
