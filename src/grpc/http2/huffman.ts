/**
 * The Huffman code of HPACK (RFC 7541, Appendix B), decoded four bits at a time.
 *
 * The code is canonical: symbols in order of length, then of value, get consecutive numbers. So the lengths are all that has
 * to be written down, and the tree is made of them once. No symbol has less than five bits, so a step of four gives at most one.
 *
 * Must not know header fields.
 */

/** Symbols by the length of their code; 256 is the end of the string, which may not occur in one. */
const symbolsOf: ReadonlyMap<number, readonly number[]> = new Map([
  [5, codes('012aceiost')],
  [6, codes(' %-./3456789=A_bdfghlmnpru')],
  [7, codes(':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz')],
  [8, codes('&*,;XZ')],
  [10, codes('!"()?')],
  [11, codes("'+|")],
  [12, codes('#>')],
  [13, codes('\0$@[]~')],
  [14, codes('^}')],
  [15, codes('<`{')],
  [19, [92, 195, 208]],
  [20, [128, 130, 131, 162, 184, 194, 224, 226]],
  [21, [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]],
  [
    22,
    [
      129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198,
      228, 232, 233,
    ],
  ],
  [
    23,
    [
      1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180, 182,
      183, 188, 191, 197, 231, 239,
    ],
  ],
  [24, [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]],
  [25, [199, 207, 234, 235]],
  [26, [192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]],
  [27, [203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]],
  [
    28,
    [2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249],
  ],
  [30, [10, 13, 22, 256]],
]);

function codes(text: string): number[] {
  return Array.from(text, (char) => char.charCodeAt(0));
}

interface Node {
  readonly children: (Node | number | undefined)[];
  readonly depth: number;
  /** The way here is all ones, as padding must be. */
  readonly isOnes: boolean;
  /** Its place among the states. */
  state: number;
}

const none = -1;
const endOfString = 256;

/** For each state and four bits: the next state, −1 where that is no code; and the symbol that was completed, or −1. */
const next: number[] = [];
const symbol: number[] = [];
/** Whether a string may end in a state: at a symbol's end, or within up to seven bits of ones. */
const isEnd: boolean[] = [];

function grow(): Node {
  const root = nodeAt(0, true);
  let code = 0;
  let length = 5;
  for (const [bits, symbols] of symbolsOf) {
    code <<= bits - length;
    length = bits;
    for (const value of symbols) {
      let node = root;
      for (let bit = bits - 1; bit > 0; bit--) {
        const side = (code >>> bit) & 1;
        node.children[side] ??= nodeAt(node.depth + 1, node.isOnes && side === 1);
        node = node.children[side] as Node;
      }
      node.children[code & 1] = value;
      code++;
    }
  }
  return root;
}

function nodeAt(depth: number, isOnes: boolean): Node {
  return { children: [undefined, undefined], depth, isOnes, state: none };
}

function number(root: Node): Node[] {
  const nodes = [root];
  for (const node of nodes) {
    node.state = isEnd.push(node.depth < 8 && node.isOnes) - 1;
    for (const child of node.children) if (typeof child === 'object') nodes.push(child);
  }
  return nodes;
}

function tabulate(root: Node): void {
  for (const start of number(root)) {
    for (let bits = 0; bits < 16; bits++) {
      let node: Node | undefined = start;
      let found = none;
      for (let bit = 3; bit >= 0 && node !== undefined; bit--) {
        const child: Node | number | undefined = node.children[(bits >>> bit) & 1];
        if (child === endOfString) node = undefined;
        else if (typeof child === 'number') {
          found = child;
          node = root;
        } else node = child;
      }
      next.push(node === undefined ? none : node.state);
      symbol.push(found);
    }
  }
}

tabulate(grow());

/**
 * The string whose code is `[start, end)`, one character for each byte; undefined when that is no code of one.
 * @param out has room for the result, which is at most 8/5 of the code
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number, out: Buffer): string | undefined {
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    for (let step = (state << 4) | (byte >>> 4), left = 1; ; step = (state << 4) | (byte & 15), left--) {
      const found = symbol[step]!;
      if (found !== none) out[length++] = found;
      state = next[step]!;
      if (state === none) return undefined;
      if (left === 0) break;
    }
  }
  return isEnd[state] ? out.toString('latin1', 0, length) : undefined;
}
