import { PacificaError } from '../errors.js';
import { BLOCK, tarPadding } from './header.js';

/** What a member is. Everything but `file` and `directory` is a thing that a bundle must not carry. */
export type TarMemberType =
  'file' | 'directory' | 'hard link' | 'symbolic link' | 'character device' | 'block device' | 'named pipe';

/** One member of a tar, as its writer named it: nothing about `path` is checked but that it is UTF-8 and not empty. */
export interface TarMember {
  readonly path: string;
  readonly type: TarMemberType;
  /** length of the body in bytes */
  readonly size: number;
  /** ms since 1970, may be negative or have fractions */
  readonly mtimeMs: number;
  /**
   * The bytes, in the chunks in which they came (parts of them are handed out, not copied): whoever wants to keep some
   * copies them before the next chunk is asked for. Read it before the next member is asked for; what is not read is
   * skipped then.
   */
  readonly body: AsyncIterable<Uint8Array>;
}

/** longest extended header (pax records, a GNU long name) that is taken; those of real programs have some KiB */
const MAX_EXTENSION = 1024 * 1024;

const TYPES: Readonly<Record<string, TarMemberType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hard link',
  '2': 'symbolic link',
  '3': 'character device',
  '4': 'block device',
  '5': 'directory',
  '6': 'named pipe',
  '7': 'file',
};

/** Keywords of pax records that are names of members. */
const NAMES: ReadonlySet<string> = new Set(['path', 'GNU.sparse.name']);

/** First bytes of compressed files that are taken for tars. */
const COMPRESSED: readonly (readonly [string, Buffer])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['bzip2', Buffer.from('BZh')],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['zip', Buffer.from('PK\x03\x04', 'latin1')],
];

/**
 * Reads a tar while it arrives: ustar, pax, GNU and the old format before them. Waits for the reader of the bodies, so
 * memory does not grow with the tar.
 *
 * A tar counts as whole only when its end marker (two blocks of zeros) is there and nothing but zeros follows: one that
 * was cut between two members can not be told from a whole one otherwise, and one that was glued to another would lose
 * the second's members.
 * @throws PacificaError `invalid` naming the byte or the member; what `chunks` throws comes out as it is
 */
export async function* readTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember, void, undefined> {
  const source = new Source(chunks[Symbol.asyncIterator]());
  let global: ReadonlyMap<string, string> = new Map();
  let local: ReadonlyMap<string, string> | undefined;
  let longName: string | undefined;

  for (;;) {
    const at = source.position;
    const block = await source.block();
    if (block === undefined) throw endsEarly(at);
    if (isZero(block)) {
      if (local !== undefined || longName !== undefined) throw damaged(at, 'an extended header has no member');
      await expectEnd(source, at);
      return;
    }
    verifyChecksum(block, at);
    const flag = String.fromCharCode(block[156] ?? 0);
    const size = numberField(block, 124, 12, 'size', at);

    if ('xgLK'.includes(flag)) {
      const data = await extension(source, size, at);
      if (flag === 'g') global = new Map([...global, ...paxRecords(data, at)]);
      else if (flag === 'x') local = paxRecords(data, at);
      else if (flag === 'L') longName = text(untilNul(data), at);
      continue;
    }
    // a volume label: a name and nothing else
    if (flag === 'V' && size === 0) continue;

    const records = new Map([...global, ...(local ?? [])]);
    const member = describe(block, flag, size, records, longName, at);
    local = undefined;
    longName = undefined;
    const body = new Body(source, member);
    yield { ...member, body };
    await body.skip();
    await source.skip(tarPadding(member.size), member.path);
  }
}

/** The bytes that have come and were not handed out yet. */
class Source {
  /** byte of the tar that comes next */
  position = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #offset = 0;

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  /** Hands out what is at hand of the next `limit` bytes, at least one. @returns undefined at the end */
  async some(limit: number): Promise<Uint8Array | undefined> {
    while (this.#offset === this.#chunk.length) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      this.#chunk = next.value;
      this.#offset = 0;
    }
    const end = Math.min(this.#chunk.length, this.#offset + limit);
    const part = this.#chunk.subarray(this.#offset, end);
    this.position += part.length;
    this.#offset = end;
    return part;
  }

  /** @returns the next block; undefined at the end, also when there is less than a block */
  async block(): Promise<Uint8Array | undefined> {
    const first = await this.some(BLOCK);
    if (first === undefined || first.length === BLOCK) return first;
    const whole = Buffer.alloc(BLOCK);
    whole.set(first);
    for (let filled = first.length; filled < BLOCK;) {
      const part = await this.some(BLOCK - filled);
      if (part === undefined) {
        // too short for a header, but enough to tell what it is instead of a tar
        if (this.position < BLOCK) throw notTar(whole.subarray(0, filled));
        return undefined;
      }
      whole.set(part, filled);
      filled += part.length;
    }
    return whole;
  }

  async skip(length: number, path: string): Promise<void> {
    for (let rest = length; rest > 0;) {
      const part = await this.some(rest);
      if (part === undefined) throw endsInside(path, this.position);
      rest -= part.length;
    }
  }
}

/** The bytes of one member. */
class Body implements AsyncIterable<Uint8Array> {
  readonly #source: Source;
  readonly #path: string;
  #rest: number;

  constructor(source: Source, { path, size }: Pick<TarMember, 'path' | 'size'>) {
    this.#source = source;
    this.#path = path;
    this.#rest = size;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.#rest > 0) {
      const part = await this.#source.some(this.#rest);
      if (part === undefined) throw endsInside(this.#path, this.#source.position);
      this.#rest -= part.length;
      yield part;
    }
  }

  async skip(): Promise<void> {
    const rest = this.#rest;
    this.#rest = 0;
    await this.#source.skip(rest, this.#path);
  }
}

async function extension(source: Source, size: number, at: number): Promise<Buffer> {
  if (size > MAX_EXTENSION) throw damaged(at, `an extended header of ${size} bytes`);
  const data = Buffer.alloc(size);
  for (let filled = 0; filled < size;) {
    const part = await source.some(size - filled);
    if (part === undefined) throw endsEarly(source.position);
    data.set(part, filled);
    filled += part.length;
  }
  await source.skip(tarPadding(size), 'an extended header');
  return data;
}

function describe(
  block: Uint8Array,
  flag: string,
  headerSize: number,
  records: ReadonlyMap<string, string>,
  longName: string | undefined,
  at: number,
): Omit<TarMember, 'body'> {
  const path = records.get('path') ?? longName ?? headerPath(block, at);
  if (path === '') throw damaged(at, 'a member without a name');
  if (flag === 'S' || [...records.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
    const name = records.get('GNU.sparse.name') ?? path;
    throw new PacificaError('invalid', `member ${JSON.stringify(name)} is stored sparse`, {
      hint: 'make the bundle without --sparse; bsdtar stores files so of itself, unless it is told --no-read-sparse',
    });
  }
  const known = TYPES[flag];
  if (known === undefined) {
    throw new PacificaError('invalid', `member ${JSON.stringify(path)} is of unknown type ${JSON.stringify(flag)}`);
  }
  // before there was a flag for folders, they were files with a slash at the end
  const type = known === 'file' && path.endsWith('/') ? 'directory' : known;
  const recorded = records.get('size');
  const size = recorded === undefined ? headerSize : decimal(recorded, 'size', at);
  const mtime = records.get('mtime');
  const mtimeMs = 1000 * (mtime === undefined ? numberField(block, 136, 12, 'mtime', at, true) : seconds(mtime, at));
  if (type === 'file') return { path, type, size, mtimeMs };
  // programs differ in whether such bytes are there; a hard link carries the size of its target and no bytes
  if (size > 0 && type !== 'hard link') throw damaged(at, `${JSON.stringify(path)} is a ${type} of ${size} bytes`);
  return { path, type, size: 0, mtimeMs };
}

/** POSIX.1-2017, pax, "ustar Interchange Format": prefix and name; GNU keeps other things in the prefix's place. */
function headerPath(block: Uint8Array, at: number): string {
  const name = text(untilNul(block.subarray(0, 100)), at);
  const isPosix = Buffer.from(block.subarray(257, 263)).toString('latin1') === 'ustar\0';
  const prefix = isPosix ? text(untilNul(block.subarray(345, 500)), at) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** POSIX.1-2017, pax, "pax Extended Header": `<length> <keyword>=<value>\n`, the length that of the whole record. */
function paxRecords(data: Buffer, at: number): Map<string, string> {
  const records = new Map<string, string>();
  for (let position = 0; position < data.length;) {
    const space = data.indexOf(0x20, position);
    const digits = data.subarray(position, Math.max(space, position)).toString('latin1');
    const end = /^[0-9]{1,7}$/.test(digits) ? position + Number(digits) : NaN;
    const equals = data.indexOf(0x3d, space);
    const whole = end <= data.length && data[end - 1] === 0x0a && equals !== -1 && equals < end;
    if (!whole) throw damaged(at, 'a pax record that is not well-formed');
    const keyword = text(data.subarray(space + 1, equals), at);
    const value = data.subarray(equals + 1, end - 1);
    // an empty value takes back what a global header said
    if (value.length === 0) records.delete(keyword);
    // others hold whatever their program likes (extended attributes are bytes)
    else records.set(keyword, NAMES.has(keyword) ? text(value, at) : value.toString('latin1'));
    position = end;
  }
  return records;
}

/** Octal digits, or GNU's big-endian two's complement, marked by the first bit, for what octal digits can not hold. */
function numberField(
  block: Uint8Array,
  offset: number,
  length: number,
  name: string,
  at: number,
  negative = false,
): number {
  const field = block.subarray(offset, offset + length);
  const first = field[0] ?? 0;
  let value: number;
  if ((first & 0x80) === 0) {
    const digits = Buffer.from(field)
      .toString('latin1')
      .replace(/[\0 ]+$/, '')
      .trimStart();
    if (!/^[0-7]*$/.test(digits)) throw damaged(at, `its ${name} is not a number`);
    value = digits === '' ? 0 : Number.parseInt(digits, 8);
  } else {
    const bits = BigInt(`0x${Buffer.from(field).toString('hex')}`);
    const width = field.length * 8;
    value = Number((first & 0x40) === 0 ? BigInt.asUintN(width - 1, bits) : BigInt.asIntN(width, bits));
  }
  if (!Number.isSafeInteger(value) || (value < 0 && !negative)) throw damaged(at, `its ${name} is out of range`);
  return value;
}

function decimal(value: string, name: string, at: number): number {
  const number = /^[0-9]+$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(number)) throw damaged(at, `its ${name} is not a number`);
  return number;
}

function seconds(value: string, at: number): number {
  if (!/^-?[0-9]{1,15}(\.[0-9]*)?$/.test(value)) throw damaged(at, 'its mtime is not a number');
  return Number(value);
}

function verifyChecksum(block: Uint8Array, at: number): void {
  let unsigned = 0;
  let signed = 0;
  for (let index = 0; index < BLOCK; index += 1) {
    // the sum is taken with eight spaces in its own place
    const byte = index >= 148 && index < 156 ? 0x20 : (block[index] ?? 0);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const match = /^[\0 ]*([0-7]+)[\0 ]*$/.exec(Buffer.from(block.subarray(148, 156)).toString('latin1'));
  const sum = Number.parseInt(match?.[1] ?? '', 8);
  // some old programs took bytes for signed numbers
  if (sum === unsigned || sum === signed) return;
  throw at === 0 ? notTar(block) : damaged(at, 'its checksum does not fit');
}

async function expectEnd(source: Source, at: number): Promise<void> {
  const second = await source.block();
  if (second === undefined) throw endsEarly(at);
  if (!isZero(second)) throw damaged(at, 'a block of zeros between two members');
  for (;;) {
    const rest = await source.some(Infinity);
    if (rest === undefined) return;
    if (!isZero(rest)) {
      throw new PacificaError('invalid', `there are bytes after the end of the tar (before byte ${source.position})`, {
        hint: 'were two tars put behind one another? send each of its own',
      });
    }
  }
}

const ZEROS = Buffer.alloc(64 * 1024);

function isZero(bytes: Uint8Array): boolean {
  for (let start = 0; start < bytes.length; start += ZEROS.length) {
    const part = bytes.subarray(start, start + ZEROS.length);
    if (ZEROS.compare(part, 0, part.length, 0, part.length) !== 0) return false;
  }
  return true;
}

function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function text(bytes: Uint8Array, at: number): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw damaged(at, `a name that is not UTF-8: ${JSON.stringify(Buffer.from(bytes).toString('latin1'))}`);
  }
}

function notTar(start: Uint8Array): PacificaError {
  const compressed = COMPRESSED.find(([, magic]) => magic.equals(start.subarray(0, magic.length)));
  if (compressed === undefined) return new PacificaError('invalid', 'this is not a tar');
  return new PacificaError('invalid', `this is not a tar: it is compressed by ${compressed[0]}`, {
    hint: 'send the bundle uncompressed',
  });
}

function damaged(at: number, what: string): PacificaError {
  return new PacificaError('invalid', `the tar is damaged, header at byte ${at}: ${what}`);
}

function endsEarly(at: number): PacificaError {
  if (at === 0) return new PacificaError('invalid', 'this is not a tar: it is empty');
  return new PacificaError('invalid', `the tar is cut short: it ends at byte ${at} without its end marker`);
}

function endsInside(path: string, at: number): PacificaError {
  return new PacificaError('invalid', `the tar is cut short: it ends at byte ${at}, inside ${JSON.stringify(path)}`);
}
