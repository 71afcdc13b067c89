import { expect, it } from 'vitest';
import { maskSecrets } from '../../src/lib/mask-secrets.js';

it.each([
  ['postgres://user:pass@host/name', 'postgres://user:***@host/name'],
  ['postgres://user@host/name', 'postgres://user@host/name'],
  ['postgres://user:p%40ss@host:5432/name', 'postgres://user:***@host:5432/name'],
  ['postgres://user:a@b/c:d@host/name', 'postgres://user:***@host/name'],
  ['postgres://host/name?user=u&password=p%26w&sslmode=on', 'postgres://host/name?user=u&password=***&sslmode=on'],
  ['mongodb://u:p@a:1,b:2/db', 'mongodb://u:***@a:1,b:2/db'],
  ['sqlite:///srv/a:b@c/x.db', 'sqlite:///srv/a:b@c/x.db'],
  ['can not reach http://127.0.0.1:8080/files/me@home now', 'can not reach http://127.0.0.1:8080/files/me@home now'],
  ["two: 'http://a:b@c' and https://d:e@f", "two: 'http://a:***@c' and https://d:***@f"],
])('shows %s as %s', (text, masked) => {
  expect(maskSecrets(text)).toBe(masked);
});
