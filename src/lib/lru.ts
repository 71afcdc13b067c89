/** Remembers the values that were used last. */
export class Lru<K, V> {
  readonly #limit: number;
  readonly #onForgotten: (value: V) => void;
  /** the least recently used one first */
  readonly #values = new Map<K, V>();

  /**
   * @param limit how many values are remembered
   * @param onForgotten is given each value that makes room for others
   */
  constructor(limit: number, onForgotten: (value: V) => void = () => undefined) {
    this.#limit = limit;
    this.#onForgotten = onForgotten;
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
      for (const [oldest, forgotten] of this.#values) {
        this.#values.delete(oldest);
        this.#onForgotten(forgotten);
        break;
      }
    }
  }

  delete(key: K): void {
    this.#values.delete(key);
  }

  /** Forgets all of them, which makes room for others. */
  clear(): void {
    const forgotten = [...this.#values.values()];
    this.#values.clear();
    forgotten.forEach(this.#onForgotten);
  }
}
