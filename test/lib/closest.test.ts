import { describe, expect, it } from 'vitest';
import { closest } from '../../src/lib/closest.js';

describe('closest', () => {
  const words = ['archive put', 'archive get', 'cart status', 'serve', '--cart-url'];

  it.each([
    ['archive pt', 'archive put'],
    ['archvie get', 'archive get'],
    ['ARCHIVE GET', 'archive get'],
    ['cart', 'cart status'],
    ['srve', 'serve'],
    ['--cart-ulr', '--cart-url'],
  ])('%s -> %s', (word, meant) => expect(closest(word, words)).toBe(meant));

  it.each(['', 'x', 'frobnicate', 'proxy get'])('has nothing to offer for "%s"', (word) =>
    expect(closest(word, words)).toBeUndefined(),
  );
});
