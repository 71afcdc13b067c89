import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { formatDigestField, parseDigestField } from '../../src/lib/digest-field.js';
import type { HashType } from '../../src/lib/digest.js';

describe('formatDigestField', () => {
  // RFC 9530, appendix B.1
  it("writes the RFC's example", () => {
    const sum = execFileSync('sha256sum', { input: '{"hello": "world"}\n', encoding: 'utf8' }).slice(0, 64);
    expect(formatDigestField({ type: 'sha256', sum })).toBe('sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:');
  });

  it.each<HashType>(['md5', 'sha1', 'sha256', 'sha512'])('writes %s so that it can be read', (type) => {
    const sum = execFileSync(`${type}sum`, { input: 'x', encoding: 'utf8' }).split(' ')[0] ?? '';
    expect(parseDigestField(formatDigestField({ type, sum }))).toEqual({ type, sum });
  });

  it('has no name for sha224', () => expect(formatDigestField({ type: 'sha224', sum: '' })).toBeUndefined());
});

describe('parseDigestField', () => {
  const sha1 = 'sha=:qvTGHdzF6KLavt4PO0gs2a6pQ00=:';
  const sha256 = 'sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:';

  it('takes the strongest of several', () => {
    expect(parseDigestField(`${sha1}, ${sha256}`)?.type).toBe('sha256');
    expect(parseDigestField(`unixsum=:AAA=:, ${sha1}`)).toEqual({
      type: 'sha1',
      sum: 'aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d',
    });
  });

  it.each([undefined, '', 'sha-256', 'sha-256=abc', 'sha-256=:AAAA:', 'crc32c=:AAAA:', ':::,,='])(
    'ignores %s',
    (text) => expect(parseDigestField(text)).toBeUndefined(),
  );
});
