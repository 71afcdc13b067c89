/** Bytes of a tar block: headers and data are padded to it (POSIX.1-2017, pax, "ustar Interchange Format"). */
export const BLOCK = 512;

/** GNU tar's record of 20 blocks; a tar's length is a multiple of it. */
const RECORD = 20 * BLOCK;

/** The end of a tar: two blocks of zeros. Filled up to a whole record by {@link tarEndLength}. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** what fits into the eleven octal digits of `size` and `mtime`: 8 GiB - 1, and the year 2242 */
const MAX_OCTAL = 0o77777777777;
const NAME_LENGTH = 100;
const MAX_ASCII = 0x7f;

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
  const name = nameOf(entry);
  const header = block(
    isPlain(name) ? name : Buffer.from(name).subarray(0, NAME_LENGTH).toString('latin1'),
    mode ?? (type === 'file' ? 0o644 : 0o755),
    size > MAX_OCTAL ? 0 : size,
    Math.min(Math.max(mtime, 0), MAX_OCTAL),
    type === 'file' ? '0' : '5',
  );
  const records = paxRecords(entry);
  if (records === '') return header;
  const body = Buffer.from(records);
  // the name that Python's tarfile gives it: seen only by programs that do not know pax
  const pax = block('././@PaxHeader', 0o644, body.length, 0, 'x');
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

/** @returns whether the ustar header can hold the name: ASCII, not too long */
function isPlain(name: string): boolean {
  if (name.length > NAME_LENGTH) return false;
  for (let index = 0; index < name.length; index += 1) if (name.charCodeAt(index) > MAX_ASCII) return false;
  return true;
}

/** What the ustar header can not hold; empty when it holds everything. */
function paxRecords(entry: TarEntry): string {
  const { size, mtime } = entry;
  const name = nameOf(entry);
  let records = '';
  if (!isPlain(name)) records += paxRecord('path', name);
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

/** What is the same in every header. Its checksum is taken with eight spaces in its own place. */
const TEMPLATE = template();
const TEMPLATE_SUM = TEMPLATE.reduce((sum, byte) => sum + byte, 0);
const ZERO = 0x30;

function template(): Buffer {
  const buffer = Buffer.alloc(BLOCK);
  for (const offset of [108, 116, 329, 337]) buffer.fill('0', offset, offset + 7);
  buffer.fill(' ', 148, 156);
  buffer.write('ustar\x0000', 257, 'latin1');
  return buffer;
}

/** @param name a character for each byte */
function block(name: string, mode: number, size: number, mtime: number, flag: string): Buffer {
  const buffer = Buffer.allocUnsafe(BLOCK);
  TEMPLATE.copy(buffer);
  let sum = TEMPLATE_SUM;
  for (let index = 0; index < name.length; index += 1) sum += buffer[index] = name.charCodeAt(index);
  sum += octal(buffer, 100, 7, mode);
  sum += octal(buffer, 124, 11, size);
  sum += octal(buffer, 136, 11, mtime);
  sum += buffer[156] = flag.charCodeAt(0);
  octal(buffer, 148, 6, sum);
  buffer[154] = 0;
  return buffer;
}

/** @returns sum of the bytes that it puts there */
function octal(buffer: Buffer, offset: number, digits: number, value: number): number {
  let sum = 0;
  let rest = value;
  for (let index = offset + digits - 1; index >= offset; index -= 1) {
    sum += buffer[index] = ZERO + (rest % 8);
    rest = Math.floor(rest / 8);
  }
  return sum;
}
