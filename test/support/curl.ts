import { execFile } from 'node:child_process';

export interface CurlAnswer {
  /** curl's own exit code, 0 when the exchange went well */
  readonly exitCode: number;
  readonly status: number;
  /** header lines of the final answer as they came: names in their own case, in order */
  readonly rawHeaders: readonly (readonly [string, string])[];
  /** @returns value of the first header of that name, whatever its case */
  header(name: string): string | undefined;
  readonly body: Buffer;
  text(): string;
  json(): unknown;
}

/** Runs curl (`-i -s` are added) and takes its answer apart. `input` goes to its standard input. */
export async function curl(args: readonly string[], input?: Uint8Array): Promise<CurlAnswer> {
  const { exitCode, stdout } = await new Promise<{ exitCode: number; stdout: Buffer }>((resolve, reject) => {
    const child = execFile(
      'curl',
      ['--silent', '--include', '--globoff', '--path-as-is', ...args],
      { encoding: 'buffer', maxBuffer: 1024 ** 3 },
      (error, out) => {
        if (error !== null && typeof error.code !== 'number') reject(new Error('curl did not run', { cause: error }));
        else resolve({ exitCode: Number(error?.code ?? 0), stdout: out });
      },
    );
    // curl may hang up before it has read all of it
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
  const { head, body } = finalAnswer(stdout);
  const lines = head.split('\r\n');
  const rawHeaders = lines.slice(1).map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return {
    exitCode,
    status: Number(lines[0]?.split(' ')[1] ?? 0),
    rawHeaders,
    header: (name) => rawHeaders.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1],
    body,
    text: () => body.toString('utf8'),
    json: () => JSON.parse(body.toString('utf8')) as unknown,
  };
}

/** Skips the 1xx answers that `--include` prints too. */
function finalAnswer(output: Buffer): { head: string; body: Buffer } {
  let rest = output;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return { head: '', body: rest };
    const head = rest.subarray(0, end).toString('latin1');
    rest = rest.subarray(end + 4);
    if (!/^HTTP\/\S+ 1\d\d/.test(head)) return { head, body: rest };
  }
}
