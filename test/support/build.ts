import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Tests drive the built program, as users do; so it is built once before them. */
export default function build(): void {
  if (process.env.PACIFICA_TEST_NO_BUILD !== undefined) return;
  execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/build.mjs', import.meta.url))], {
    stdio: 'inherit',
  });
}
