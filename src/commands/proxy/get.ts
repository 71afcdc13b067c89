import { Args } from '../../cli/oclif.js';
import { DownloadCommand } from '../../cli/download-command.js';
import { outputFlag, progressFlag, proxyUrl } from '../../cli/client-flags.js';
import { ProxyClient } from '../../client/proxy-client.js';
import { normalizeHash } from '../../lib/digest.js';

export default class ProxyGet extends DownloadCommand {
  static override summary = 'Get a file by its hash';
  static override description = `The bytes are hashed as they come: when they don't match, nothing is left in FILE, and it ends with 6.
A connection that breaks is taken up again, and so is a run that was stopped. A file on tape is asked for, and it ends with 4.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> sha1 f1d2d2f924e986ac86fdf7b36c94bcdf32beec15 --output foo.txt',
  ];
  static override args = {
    hashtype: Args.string({
      description: 'md5, sha1, sha224, sha256, sha384 or sha512',
      required: true,
      ignoreStdin: true,
    }),
    hashsum: Args.string({ description: 'The hash in hex', required: true, ignoreStdin: true }),
  };
  static override flags = { ...outputFlag, ...progressFlag, ...proxyUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ProxyGet);
    const { proxy } = await this.clientConfig(flags);
    const { type, sum } = normalizeHash(args.hashtype, args.hashsum);
    const client = new ProxyClient(proxy.url, { signal: this.signal });
    await this.download(flags, {
      what: `file ${type} ${sum}`,
      fetch: (rest) => client.get(type, sum, rest),
      expected: () => ({ type, sum }),
      keepTime: true,
    });
  }
}
