/**
 * MurmurHash3 x86 32 over the UTF-8 of a text, and `uniform`, the number in (0, 1) that it stands for: what assignment and
 * sampling decide by (monitoring §2.1).
 *
 *   prefixOf('salt:variant:') ── once ──▶ HashPrefix ┐
 *   wordsOf(key) ── once for all prefixes ──▶ Words  ┴─ hashOf(prefix, words) ─▶ the hash of both texts in one
 *
 * What stands before a key is the same for every request, so it is hashed once. Reading a text costs more than hashing it, so
 * a key that several prefixes precede is read once. Nothing is allocated for ASCII. Lone surrogates count as U+FFFD.
 *
 * Must not know what the texts mean.
 */

/** The state between two bytes. */
export interface HashPrefix {
  readonly hash: number;
  /** Bytes that do not fill a block yet, the first one lowest. */
  readonly pending: number;
  readonly pendingBytes: number;
  readonly bytes: number;
}

/** A text by its bytes, four in a word, the first one lowest. */
export interface Words {
  readonly words: Int32Array;
  readonly count: number;
  /** The bytes after the last whole word. */
  readonly tail: number;
  readonly bytes: number;
}

const c1 = 0xcc9e2d51;
const c2 = 0x1b873593;
const utf8 = new TextEncoder();
/** Longer texts are rare, and allocate. */
const wordsMax = 64;

/** The empty text under `seed`. */
function start(seed: number): HashPrefix {
  return { hash: seed | 0, pending: 0, pendingBytes: 0, bytes: 0 };
}

const unseeded = start(0);

export function prefixOf(text: string, seed = 0): HashPrefix {
  let { hash, pending, pendingBytes } = start(seed);
  const bytes = utf8.encode(text);
  for (const byte of bytes) {
    pending |= byte << (pendingBytes << 3);
    if (++pendingBytes === 4) {
      hash = withBlock(hash, pending);
      pending = 0;
      pendingBytes = 0;
    }
  }
  return { hash, pending, pendingBytes, bytes: bytes.length };
}

/** One for the thread: what was read last. */
const read = { words: new Int32Array(wordsMax), count: 0, tail: 0, bytes: 0 };

/** Reads a text. @returns its words, valid until the next text is read */
export function wordsOf(text: string): Words {
  const { length } = text;
  const { words } = read;
  if (length > words.length << 2) return wordsOfBytes(utf8.encode(text));
  let count = 0;
  let i = 0;
  for (; i + 3 < length; i += 4) {
    const a = text.charCodeAt(i);
    const b = text.charCodeAt(i + 1);
    const c = text.charCodeAt(i + 2);
    const d = text.charCodeAt(i + 3);
    if ((a | b | c | d) > 0x7f) return wordsOfBytes(utf8.encode(text));
    words[count++] = a | (b << 8) | (c << 16) | (d << 24);
  }
  let tail = 0;
  for (let shift = 0; i < length; i++, shift += 8) {
    const byte = text.charCodeAt(i);
    if (byte > 0x7f) return wordsOfBytes(utf8.encode(text));
    tail |= byte << shift;
  }
  read.count = count;
  read.tail = tail;
  read.bytes = length;
  return read;
}

function wordsOfBytes(bytes: Uint8Array): Words {
  const count = bytes.length >> 2;
  const words = count > read.words.length ? new Int32Array(count) : read.words;
  for (let i = 0; i < count; i++) {
    const at = i << 2;
    words[i] = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }
  let tail = 0;
  for (let at = count << 2, shift = 0; at < bytes.length; at++, shift += 8) tail |= bytes[at]! << shift;
  return { words, count, tail, bytes: bytes.length };
}

/** The unsigned hash of the prefix with a text after it. */
export function hashOf(prefix: HashPrefix, { words, count, tail, bytes }: Words): number {
  let { hash, pending } = prefix;
  const total = prefix.bytes + bytes;
  const shift = prefix.pendingBytes << 3;
  if (shift === 0) {
    for (let i = 0; i < count; i++) hash = withBlock(hash, words[i]!);
    return finalized(hash, tail, total);
  }
  // Every word fills the block that the prefix left unfinished, and leaves one itself.
  const rest = 32 - shift;
  for (let i = 0; i < count; i++) {
    const word = words[i]!;
    hash = withBlock(hash, pending | (word << shift));
    pending = word >>> rest;
  }
  pending |= tail << shift;
  if (prefix.pendingBytes + (bytes & 3) < 4) return finalized(hash, pending, total);
  return finalized(withBlock(hash, pending), tail >>> rest, total);
}

/** The unsigned hash of the prefix with `text` after it. */
export function hashAfter(prefix: HashPrefix, text: string): number {
  return hashOf(prefix, wordsOf(text));
}

function mixed(block: number): number {
  const product = Math.imul(block, c1);
  return Math.imul((product << 15) | (product >>> 17), c2);
}

function withBlock(hash: number, block: number): number {
  const folded = hash ^ mixed(block);
  return (Math.imul((folded << 13) | (folded >>> 19), 5) + 0xe6546b64) | 0;
}

/** Bytes of 0 in an unfinished block change nothing, so it need not be known how many it has. */
function finalized(unfinished: number, pending: number, bytes: number): number {
  let hash = unfinished ^ mixed(pending) ^ bytes;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The unsigned 32-bit hash of `text`. */
export function murmur3(text: string, seed = 0): number {
  return hashAfter(seed === 0 ? unseeded : start(seed), text);
}

/** A hash as a number in (0, 1), never 0 or 1. */
export function shareOf(hash: number): number {
  return (hash + 0.5) / 2 ** 32;
}

/** `u(text)` of the specification. */
export function uniform(text: string): number {
  return shareOf(murmur3(text));
}
