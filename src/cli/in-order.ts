/** How one of many pieces of work ended. */
export type Outcome<T, R> =
  { readonly item: T; readonly value: R; readonly error?: undefined } | { readonly item: T; readonly error: Error };

/**
 * Does work for each of many things, some at a time, and tells the outcomes in the order of the things.
 * @param width how many are under way at a time
 */
export async function* inOrder<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
  width = 8,
): AsyncGenerator<Outcome<T, R>> {
  const outcome = async (item: T): Promise<Outcome<T, R>> => {
    try {
      return { item, value: await work(item) };
    } catch (error) {
      return { item, error: error instanceof Error ? error : new Error(String(error)) };
    }
  };
  const running: Promise<Outcome<T, R>>[] = [];
  for (const item of items) {
    running.push(outcome(item));
    const first = running.length >= width ? running.shift() : undefined;
    if (first !== undefined) yield await first;
  }
  for (const rest of running) yield await rest;
}
