import { PacificaError } from '../lib/errors.js';
import { formatSize } from '../lib/sizes.js';
import { ClientCommand } from './client-command.js';
import { receive, type ReceiveOptions } from './receive.js';

/** A command that fetches bytes: into `--output`, or to standard output. */
export abstract class DownloadCommand extends ClientCommand {
  protected async download(
    flags: { readonly output?: string; readonly json: boolean },
    options: Omit<ReceiveOptions, 'output' | 'signal'>,
  ): Promise<void> {
    const { output, json } = flags;
    if (json && output === undefined) {
      throw new PacificaError('invalid', '--json needs --output: standard output can not take both');
    }
    const { size, file } = await receive({ ...options, output, signal: this.signal });
    if (json) this.printJson({ file, size });
    else if (file !== undefined) this.print(`${options.what}: ${formatSize(size)} in ${output ?? file}\n`);
  }
}
