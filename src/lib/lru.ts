/** Remembers the values that were used last. */
export class Lru<K, V> {
  readonly #limit: number;
  /** the least recently used one first */
  readonly #values = new Map<K, V>();

  /** @param limit how many values are remembered */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: K): V | undefined {
    const value = this.#values.get(key);
    if (value !== undefined) {
      this.#values.delete(key);
      this.#values.set(key, value);
    }
    return value;
  }

  set(key: K, value: V): void {
    this.#values.delete(key);
    this.#values.set(key, value);
    if (this.#values.size > this.#limit) {
      for (const oldest of this.#values.keys()) {
        this.#values.delete(oldest);
        break;
      }
    }
  }

  delete(key: K): void {
    this.#values.delete(key);
  }
}
