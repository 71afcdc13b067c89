import { execFile } from 'node:child_process';

/** Runs a program of the system without holding up servers of this process. @returns its stdout; throws when it fails */
export async function run(command: string, args: readonly string[], cwd?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd, encoding: 'utf8', maxBuffer: 1024 ** 3 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${args.join(' ')}: ${stderr}`, { cause: error }));
    });
  });
}
