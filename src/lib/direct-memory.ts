declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

/** bytes of a block */
export const DIRECT_BLOCK = 1024 * 1024;
/** Direct reads and writes begin at a multiple of this: no disk or file system in use has larger sectors. */
export const SECTOR = 4096;
/** bytes of a page of WebAssembly's memory */
const WASM_PAGE = 64 * 1024;
/** blocks that memory is taken for at once */
const BLOCKS = 4;

const spare: Buffer[] = [];

/**
 * Reads and writes past the page cache (O_DIRECT) want a buffer that begins at a sector's boundary in memory. Node's own
 * begin anywhere; WebAssembly's begin at a page's.
 * @returns a block, to be given back; not zeroed
 * @throws RangeError when the process may not have that much address space
 */
export function takeDirectBlock(): Buffer {
  if (spare.length === 0) {
    const pages = (BLOCKS * DIRECT_BLOCK) / WASM_PAGE;
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
    for (let block = 0; block < BLOCKS; block += 1) spare.push(Buffer.from(buffer, block * DIRECT_BLOCK, DIRECT_BLOCK));
  }
  return spare.pop() ?? Buffer.alloc(0);
}

/** Nobody may use it any more, the kernel neither. */
export function giveDirectBlock(block: Buffer): void {
  spare.push(block);
}
