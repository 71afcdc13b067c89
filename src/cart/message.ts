/** longest message in bytes (wire.md, cart part: it travels in a header) */
const MAX_BYTES = 1024;
/** failed files that a cart's message names */
export const NAMED_FAILURES = 5;

/**
 * @returns the text as one line of printable ASCII of at most 1,024 bytes, the rest percent-encoded; a percent sign too,
 * where it could be taken for the beginning of such a code
 */
export function oneLine(text: string, limit = MAX_BYTES): string {
  const clean = text
    .replace(/%(?=[0-9A-Fa-f]{2})/g, '%25')
    .replace(/\s+/g, ' ')
    .trim();
  let line = '';
  let cut = '';
  for (const character of clean) {
    const encoded = character >= ' ' && character <= '~' ? character : encode(character);
    if (line.length + encoded.length > limit) return `${cut}...`;
    line += encoded;
    if (line.length <= limit - 3) cut = line;
  }
  return line;
}

function encode(character: string): string {
  return [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/**
 * The message of a cart that failed: how many files did, and the first of them with their reasons.
 * @param first the first failed files, at most {@link NAMED_FAILURES} of them are named
 */
export function failureMessage(
  failed: number,
  total: number,
  first: readonly { readonly path: string; readonly message: string }[],
): string {
  const named = first.slice(0, NAMED_FAILURES);
  const rest = failed - named.length;
  const tail = rest > 0 ? `; and ${rest} more` : '';
  const head = `${failed} of ${total} files failed: `;
  // each gets its share, so that the last one is named too
  const share = Math.floor((MAX_BYTES - head.length - tail.length) / Math.max(named.length, 1)) - 2;
  return head + named.map(({ path, message }) => oneLine(`${path}: ${message}`, share)).join('; ') + tail;
}
