import { describe, expect, it } from 'vitest';
import { facts, paragraphs, printable, table } from '../../src/cli/text.js';

describe('printable', () => {
  it('disarms escape sequences, line breaks and turned text, and leaves the rest', () => {
    expect(printable('a\u001b[31mb\nc\u202ed\u009b')).toBe('a\\x1b[31mb\\x0ac\\x202ed\\x9b');
    expect(printable('Größe 10 µm データ 👍')).toBe('Größe 10 µm データ 👍');
  });
});

describe('table', () => {
  it('aligns text to the left and numbers to the right, wide letters too', () => {
    const rows = [
      ['a.txt', 5, 'disk'],
      ['データ', 1234, 'tape'],
    ];
    expect(table(['NAME', 'SIZE', 'MEDIA'], rows)).toBe(
      ['NAME    SIZE  MEDIA', 'a.txt      5  disk', 'データ  1234  tape', ''].join('\n'),
    );
  });

  it('shows a cell that would command the terminal as text', () => {
    expect(table(['X'], [['\u001b[2J']])).toBe('X\n\\x1b[2J\n');
  });
});

describe('facts', () => {
  it('puts values into one column', () => {
    expect(
      facts([
        ['Cart', 'x'],
        ['Status', 'ready'],
      ]),
    ).toBe('Cart:   x\nStatus: ready\n');
    expect(
      facts([
        ['Job', 1],
        ['Why', 'a\nb\u001b\n'],
      ]),
    ).toBe('Job: 1\nWhy: a\n     b\\x1b\n');
  });
});

describe('paragraphs', () => {
  it('joins lines and keeps empty ones', () => expect(paragraphs('a\nb\n\nc')).toBe('a b\n\nc'));
});
