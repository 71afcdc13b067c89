import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type CartSite, startCartSite } from '../support/cart.js';
import { injectFaults } from '../support/fault-fs.js';

// After a power cut a cart that was ready is whole: bytes are synced before they get their names, names before the cart
// is linked and said to be ready.

let site: CartSite;
/** what was done on the volume, in this order: `sync 1/cart` */
const steps: string[] = [];
let restore: () => void = () => undefined;
beforeEach(async () => {
  site = await startCartSite({ settings: { copy: 'always' } });
  steps.length = 0;
  restore = await injectFaults(({ name, path = '' }) => {
    const place = relative(site.volume, path).replace(/@[^/]*/, '@');
    steps.push(`${name} ${place}`);
    if (name === 'sync' && existsSync(join(site.volume, '1/cart/a/b'))) steps.push(`${name} ${place}, files there`);
    return undefined;
  });
});
afterEach(async () => {
  restore();
  await site.close();
});

async function make(extra: object = {}): Promise<void> {
  const [file] = site.lay(1, 1000);
  await site.post('cart', [{ ...file, path: 'a/b' }], extra);
  expect(await site.end('cart')).toBe('ready');
  await site.queue.idle();
}

/** Each of them was done, the one after the other. */
function expectOrder(...wanted: string[]): void {
  let from = 0;
  for (const step of wanted) {
    const at = steps.indexOf(step, from);
    expect(at, `"${step}" after ${steps[from - 1] ?? 'the beginning'} in\n${steps.join('\n')}`).not.toBe(-1);
    from = at + 1;
  }
}

it.skipIf(process.platform !== 'linux')('the files of a cart', async () => {
  await make();
  for (const folder of ['1/cart/a', '1/cart', '1', '']) {
    expectOrder('sync 1/@/0', 'rename 1/@/0', `sync ${folder}`, 'rename cartuids/@', 'sync cartuids');
  }
});

it.skipIf(process.platform !== 'linux')('the tar of a bundle, before the files go that it was made of', async () => {
  await make({ bundle: true });
  expectOrder('sync 1/@/bundle', 'rename 1/@/bundle', 'sync 1, files there', 'rename cartuids/@', 'sync cartuids');
});

it('a cart is not ready before it is linked', async () => {
  restore();
  let links = 0;
  restore = await injectFaults(({ name, path = '' }) =>
    name === 'rename' && path.includes('cartuids') && (links += 1) === 1 ? 'ENOSPC' : undefined,
  );
  const [file] = site.lay(1, 1000);
  await site.post('cart', [{ ...file, path: 'a/b' }]);
  expect(await site.end('cart')).toBe('error');
  expect(links).toBe(1);
});
