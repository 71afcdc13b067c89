/**
 * An object that behaves as `target` does but for some of its members: for watching calls, and for making one fail.
 * (A class with private fields can not be spread or inherited from.)
 */
export function overriding<T extends object>(target: T, members: Partial<T>): T {
  return new Proxy(target, {
    get(_target, key) {
      if (key in members) return Reflect.get(members, key) as unknown;
      const value = Reflect.get(target, key) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
