import { describe, expect, it } from 'vitest';
import { excluder } from '../../src/client/exclude.js';

describe('excluder', () => {
  it.each([
    ['*.tmp', ['a.tmp', 'x/y/.tmp'], ['a.tmp2', 'a.tmp/b', 'atmp']],
    ['.git', ['.git', 'a/.git'], ['.gitignore', 'a.git', 'agit']],
    ['tree/cache', ['tree/cache'], ['a/tree/cache', 'tree/cache2', 'tree/cache/x']],
    ['/tree/*/x', ['tree/a/x'], ['tree/x', 'tree/a/b/x']],
    ['./tree/', ['tree', 'a/tree'], ['trees']],
    ['tree/**/x', ['tree/x', 'tree/a/x', 'tree/a/b/x'], ['tree/ax', 'x']],
    ['tree/**', ['tree/a', 'tree/a/b'], ['tree']],
    ['r?n[0-9]', ['run7', 'a/ran0'], ['run', 'run77', 'r/n7']],
    ['[!a-c]x', ['dx'], ['ax', 'x']],
    ['a[]b]', ['a]', 'ab'], ['a', 'ax']],
    ['a.b+(c)', ['a.b+(c)'], ['axb+(c)', 'a.bb(c)']],
    ['[', ['['], ['a']],
    ['größe ?', ['größe Ω', 'größe 😀'], ['grösse 1']],
  ])('%s', (pattern, left, taken) => {
    const excluded = excluder([pattern]);
    for (const path of left) expect(excluded(path), path).toBe(true);
    for (const path of taken) expect(excluded(path), path).toBe(false);
  });

  it('takes several patterns, and none', () => {
    const excluded = excluder(['a', 'b/c']);
    expect(['a', 'b/c', 'b'].map(excluded)).toEqual([true, true, false]);
    expect(excluder([])('a')).toBe(false);
  });

  it.each(['', '/', './'])('refuses %j', (pattern) => {
    expect(() => excluder([pattern])).toThrow('is not a pattern');
  });
});
