/**
 * Does work for each item, `limit` of them at a time, in their order of beginning. After the first failure no more is
 * begun; what runs is waited for.
 * @param items an asynchronous one is asked for several at once, as generators allow
 * @throws what the first failing one threw, or what `items` threw
 */
export async function eachLimit<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let failure: { error: unknown } | undefined;
  const hasFailed = (): boolean => failure !== undefined;
  const worker = async (): Promise<void> => {
    while (!hasFailed()) {
      try {
        const next = await iterator.next();
        if (next.done === true || hasFailed()) return;
        await work(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  if (failure !== undefined) throw failure.error;
}
