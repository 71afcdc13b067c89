import { describe, expect, it } from 'vitest';
import { PathSet, safePath } from '../../src/lib/safe-path.js';

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

describe('PathSet', () => {
  const of = (...paths: string[]): PathSet => {
    const set = new PathSet();
    for (const path of paths) set.add(path);
    return set;
  };

  it('takes paths of their own', () => {
    expect(of('a/b/c', 'a/b/d', 'a/c', 'ab', 'a/b/c2/x').size).toBe(5);
  });

  it('refuses a path that is there', () => {
    expect(() => of('a/b', 'c', 'a/b')).toThrow('path "a/b" is there twice');
  });

  it('refuses a file that is also a folder, in both orders', () => {
    expect(() => of('p', 'p/q')).toThrow('path "p" is a file and also a folder of "p/q"');
    expect(() => of('p/q', 'p')).toThrow('path "p" is a file and also a folder of another file');
    expect(() => of('p/q/r/s', 'p/q')).toThrow('path "p/q" is a file and also a folder');
    expect(() => of('p/q', 'p/q/r/s')).toThrow('path "p/q" is a file and also a folder of "p/q/r/s"');
  });

  it('is linear: 200,000 paths in deep folders', () => {
    const set = new PathSet();
    const deep = 'folder/'.repeat(30);
    const started = performance.now();
    for (let index = 0; index < 200_000; index += 1) set.add(`${deep}${index % 100}/${index}`);
    expect(set.size).toBe(200_000);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
