/**
 * The word that somebody probably meant who mistyped it, or typed its beginning only.
 * @returns undefined when none is near: more than a third of its letters would have to be changed
 */
export function closest(word: string, words: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of words) {
    const begun = word.length > 1 && candidate.startsWith(word);
    const changes = begun ? 0 : distance(word.toLowerCase(), candidate.toLowerCase());
    if (changes < least && changes <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate;
      least = changes;
    }
  }
  return best;
}

/** Levenshtein's distance, two neighbours exchanged counting as one change. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const now = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      now[column] = Math.min(
        (last[column] ?? 0) + 1,
        (now[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
        swapped ? (before[column - 2] ?? 0) + 1 : Infinity,
      );
    }
    before = last;
    last = now;
  }
  return last[b.length] ?? 0;
}
