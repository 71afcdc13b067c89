import { PacificaError } from '../lib/errors.js';

/**
 * Makes a test for what is left out of a bundle. In a pattern `*` is anything within a name, `**` anything, `?` one
 * character, `[abc]` one of these. A pattern without a slash is about a name at any depth, one with a slash about the path
 * in the bundle from its beginning. A folder that is left out takes all below it along.
 * @returns whether a path in the bundle (without slashes at its ends) is left out
 * @throws PacificaError `invalid` naming a pattern that is none
 */
export function excluder(patterns: readonly string[]): (path: string) => boolean {
  const tests = patterns.map((pattern) => {
    const clean = pattern.replace(/^\.?\/+/, '').replace(/\/+$/, '');
    if (clean === '') {
      throw new PacificaError('invalid', `${JSON.stringify(pattern)} is not a pattern to leave files out by`, {
        hint: "write it like '*.tmp', .git or 'tree/cache'",
      });
    }
    const expression = expressionOf(clean);
    if (clean.includes('/')) return (path: string) => expression.test(path);
    return (path: string) => expression.test(path.slice(path.lastIndexOf('/') + 1));
  });
  return (path) => tests.some((test) => test(path));
}

function expressionOf(pattern: string): RegExp {
  const parts = pattern.match(/\*\*\/?|\*|\?|\[!?\]?[^\]]*\]|[^*?[]+|\[/g) ?? [];
  const text = parts.map((part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.startsWith('[') && part.length > 2) {
      const inner = part.slice(1, -1);
      const set = inner.replace(/^!/, '').replaceAll(/[\\^\][]/g, '\\$&');
      return `[${inner.startsWith('!') ? '^' : ''}${set}]`;
    }
    return part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${text.join('')}$`, 'su');
}
