import { describe, expect, it } from 'vitest';
import { failureMessage, oneLine } from '../../src/cart/message.js';

describe('oneLine', () => {
  it.each([
    ['', ''],
    ['No Space Available', 'No Space Available'],
    ['a\r\n\tb  c\n', 'a b c'],
    ['Grüße \u{1f600}', 'Gr%C3%BC%C3%9Fe %F0%9F%98%80'],
    ['\u0000\u007f', '%00%7F'],
    ['50% of %41 and 100%', '50% of %2541 and 100%'],
  ])('%j is %j', (text, line) => {
    expect(oneLine(text)).toBe(line);
  });

  it('is cut at 1,024 bytes, and not inside of a code', () => {
    expect(oneLine('x'.repeat(1024))).toBe('x'.repeat(1024));
    expect(oneLine('x'.repeat(1025))).toBe(`${'x'.repeat(1021)}...`);
    const line = oneLine('é'.repeat(500));
    expect(line).toMatch(/^(%C3%A9)+\.\.\.$/);
    expect(line.length).toBeLessThanOrEqual(1024);
  });
});

describe('failureMessage', () => {
  it('names the first failures and counts the rest, in one line that fits a header', () => {
    const failures = Array.from({ length: 5 }, (_, n) => ({ path: `ü${n}`, message: 'm'.repeat(n * 300) }));
    expect(
      failureMessage(
        1,
        3,
        failures.slice(1, 2).map(({ path }) => ({ path, message: 'gone\nfor good' })),
      ),
    ).toBe('1 of 3 files failed: %C3%BC1: gone for good');
    const message = failureMessage(1000, 2000, failures);
    expect(message).toMatch(/^1000 of 2000 files failed: %C3%BC0:; %C3%BC1: m.*%C3%BC4: m+\.\.\.; and 995 more$/);
    expect(message.length).toBeLessThanOrEqual(1024);
  });
});
