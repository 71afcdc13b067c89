import { describe, expect, it } from 'vitest';
import { safePath } from '../../src/lib/safe-path.js';

describe('safePath', () => {
  it.each([
    ['a', 'a'],
    ['a/b/c.txt', 'a/b/c.txt'],
    ['/a/b', 'a/b'],
    ['///a', 'a'],
    ['..a/b../...', '..a/b../...'],
    ['C:\\x', 'C:\\x'],
    ['Grüße/日本 😀', 'Grüße/日本 😀'],
    ['a b\nc', 'a b\nc'],
    ['x'.repeat(255), 'x'.repeat(255)],
    ['é'.repeat(127), 'é'.repeat(127)],
  ])('takes %j', (text, path) => {
    expect(safePath(text)).toBe(path);
  });

  it.each([
    '',
    '/',
    '//',
    '..',
    '../x',
    'a/../b',
    'a/..',
    '/../x',
    '.',
    './a',
    'a/./b',
    'a/.',
    'a//b',
    'a/',
    'a\0b',
    '\ud800',
    'x'.repeat(256),
    'é'.repeat(128),
    `a/${'x'.repeat(256)}`,
    'a/'.repeat(2048) + 'b',
  ])('refuses %j, naming it', (text) => {
    expect(() => safePath(text)).toThrow(
      expect.objectContaining({
        code: 'invalid',
        message: expect.stringContaining(JSON.stringify(text).slice(0, 100).replace(/"$/, '')) as string,
      }),
    );
  });
});
