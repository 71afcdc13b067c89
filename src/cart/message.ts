/** longest message in bytes (wire.md, cart part: it travels in a header) */
const MAX_BYTES = 1024;
/** failed files that a cart's message names */
export const NAMED_FAILURES = 5;

/** @returns the text as one line of printable ASCII of at most 1,024 bytes, the rest percent-encoded */
export function oneLine(text: string, limit = MAX_BYTES): string {
  let line = '';
  for (const character of text.replace(/\s+/g, ' ').trim()) {
    const printable = character >= ' ' && character <= '~';
    const encoded = printable ? character : encode(character);
    if (line.length + encoded.length > limit) return `${line.slice(0, limit - 3)}...`;
    line += encoded;
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
  return oneLine(head + named.map(({ path, message }) => oneLine(`${path}: ${message}`, share)).join('; ') + tail);
}
