/** Control characters, and those that turn the direction of the text around them. */
const UNPRINTABLE = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Makes a text from outside safe to show: file names and messages of servers may hold escape sequences that a terminal
 * would obey. Each control character becomes `\xNN`; a line break too, since a name is no place for one.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (char) => `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`);
}

let graphemes: Intl.Segmenter | undefined;
let wide: RegExp | undefined;
const WIDE = '[\\p{scx=Han}\\p{scx=Hangul}\\p{scx=Hiragana}\\p{scx=Katakana}\\p{Extended_Pictographic}]';

/** @returns columns that a terminal gives to a text */
function width(text: string): number {
  // all of printable ASCII, which is nearly everything, without the segmenter
  if (/^[ -~]*$/.test(text)) return text.length;
  let columns = 0;
  // made when they are needed: they bring tables of all scripts
  graphemes ??= new Intl.Segmenter();
  wide ??= new RegExp(WIDE, 'u');
  for (const { segment } of graphemes.segment(text)) columns += wide.test(segment) ? 2 : 1;
  return columns;
}

/**
 * Columns under their headings, the last one as wide as it is. Numbers stand to the right.
 * @param rows cells as `headings`; a bigint or number is aligned to the right
 */
export function table(headings: readonly string[], rows: readonly (readonly (string | number | bigint)[])[]): string {
  const texts = rows.map((row) => row.map((cell) => printable(String(cell))));
  const widths = headings.map((heading, column) =>
    texts.reduce((widest, row) => Math.max(widest, width(row[column] ?? '')), heading.length),
  );
  const right = headings.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] !== 'string'));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const fill = ' '.repeat(Math.max(0, (widths[column] ?? 0) - width(cell)));
        return right[column] === true ? fill + cell : cell + fill;
      })
      .join('  ')
      .trimEnd();
  return [headings, ...texts].map((cells) => `${line(cells)}\n`).join('');
}

/** Facts about one thing: a name and a value a line, values in one column, those of several lines too. */
export function facts(pairs: readonly (readonly [name: string, value: string | number])[]): string {
  const widest = Math.max(...pairs.map(([name]) => name.length));
  const line = (name: string, text: string): string => `${name.padEnd(widest + 1)} ${printable(text)}`.trimEnd() + '\n';
  return pairs
    .flatMap(([name, value]) => {
      const texts = String(value).trimEnd().split('\n');
      return texts.map((text, index) => line(index === 0 ? `${name}:` : '', text));
    })
    .join('');
}

/** @returns a number with its noun: `1 file`, `3 files` */
export function numbered(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Joins the lines of a paragraph, for texts of commands: help breaks lines where the terminal ends. */
export function paragraphs(text: string): string {
  return text.replace(/(?<!\n)\n(?!\n)/g, ' ');
}
