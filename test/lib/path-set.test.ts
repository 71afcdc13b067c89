import { describe, expect, it } from 'vitest';
import { PathSet } from '../../src/lib/path-set.js';

describe('PathSet', () => {
  const of = (...paths: string[]): PathSet => {
    const set = new PathSet();
    for (const path of paths) set.add(path);
    return set;
  };

  it('takes paths of their own', () => {
    const set = new PathSet();
    const paths = ['a/b/c', 'a/b/d', 'a/c', 'ab', 'a/b/c2/x', 'b/y', 'a/z'];
    // and tells how many folders are new
    expect(paths.map((path) => set.add(path))).toEqual([2, 0, 0, 0, 1, 1, 0]);
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

  it('tells paths apart that differ in one place', () => {
    const set = new PathSet();
    for (let code = 1; code < 0xd800; code += 1) if (code !== 0x2f) set.add(String.fromCharCode(code));
    for (let code = 1; code < 0xd800; code += 1) if (code !== 0x2f) set.add(`x${String.fromCharCode(code)}`);
    expect(() => set.add('xa')).toThrow('twice');
  });

  it('is linear: 200,000 paths in deep folders', () => {
    const set = new PathSet();
    const deep = 'folder/'.repeat(30);
    const started = performance.now();
    let folders = 0;
    for (let index = 0; index < 200_000; index += 1) folders += set.add(`${deep}${index % 100}/${index}`);
    expect(folders).toBe(130);
    expect(() => set.add(`${deep}7/107`)).toThrow('is there twice');
    expect(() => set.add(`${deep}7`)).toThrow('is a file and also a folder');
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
