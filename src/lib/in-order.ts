/** How one of many pieces of work ended. */
export type Outcome<T, R> =
  { readonly item: T; readonly value: R; readonly error?: undefined } | { readonly item: T; readonly error: Error };

/**
 * Does work for each of many things, some at a time, and tells the outcomes in the order of the things. When the caller
 * has seen enough, no more is begun and what runs is waited for.
 * @param width how many are under way at a time
 */
export async function* inOrder<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  work: (item: T) => Promise<R>,
  width: number,
): AsyncGenerator<Outcome<T, R>> {
  const outcome = async (item: T): Promise<Outcome<T, R>> => {
    try {
      return { item, value: await work(item) };
    } catch (error) {
      return { item, error: error instanceof Error ? error : new Error(String(error)) };
    }
  };
  const running: Promise<Outcome<T, R>>[] = [];
  try {
    for await (const item of items) {
      running.push(outcome(item));
      const first = running.length >= width ? running.shift() : undefined;
      if (first !== undefined) yield await first;
    }
    while (running.length > 0) {
      const first = running.shift();
      if (first !== undefined) yield await first;
    }
  } finally {
    await Promise.all(running);
  }
}
