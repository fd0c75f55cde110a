/**
 * MurmurHash3 x86 32 over the UTF-8 of a text, and `uniform`, the number in (0, 1) that it stands for: what assignment and
 * sampling decide by (monitoring §2.1).
 *
 *   prefixOf('salt:variant:') ─ once ─▶ HashPrefix ─ hashAfter(prefix, key) ─▶ the hash of both texts in one
 *
 * What stands before a key is the same for every request, so it is hashed once and the key alone each time. Nothing is
 * allocated for ASCII. Lone surrogates count as U+FFFD.
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

const c1 = 0xcc9e2d51;
const c2 = 0x1b873593;
const utf8 = new TextEncoder();

/** The empty text under `seed`. */
function start(seed: number): HashPrefix {
  return { hash: seed | 0, pending: 0, pendingBytes: 0, bytes: 0 };
}

const unseeded = start(0);

export function prefixOf(text: string, seed = 0): HashPrefix {
  return extended(start(seed), utf8.encode(text));
}

function extended(prefix: HashPrefix, more: Uint8Array): HashPrefix {
  let { hash, pending, pendingBytes } = prefix;
  for (const byte of more) {
    pending |= byte << (pendingBytes << 3);
    if (++pendingBytes === 4) {
      hash = withBlock(hash, pending);
      pending = 0;
      pendingBytes = 0;
    }
  }
  return { hash, pending, pendingBytes, bytes: prefix.bytes + more.length };
}

/** The unsigned hash of the prefix with `text` after it. */
export function hashAfter(prefix: HashPrefix, text: string): number {
  let { hash, pending, pendingBytes } = prefix;
  const { length } = text;
  const shift = pendingBytes << 3;
  let i = 0;
  // Four characters are a block, part of which waits where the prefix left one unfinished.
  for (; i + 3 < length; i += 4) {
    const a = text.charCodeAt(i);
    const b = text.charCodeAt(i + 1);
    const c = text.charCodeAt(i + 2);
    const d = text.charCodeAt(i + 3);
    if ((a | b | c | d) > 0x7f) return finished(extended(prefix, utf8.encode(text)));
    const block = a | (b << 8) | (c << 16) | (d << 24);
    hash = withBlock(hash, pending | (block << shift));
    pending = shift === 0 ? 0 : (block >>> (32 - shift)) | 0;
  }
  for (; i < length; i++) {
    const byte = text.charCodeAt(i);
    if (byte > 0x7f) return finished(extended(prefix, utf8.encode(text)));
    pending |= byte << (pendingBytes << 3);
    if (++pendingBytes === 4) {
      hash = withBlock(hash, pending);
      pending = 0;
      pendingBytes = 0;
    }
  }
  return finalized(hash, pending, prefix.bytes + length);
}

function mixed(block: number): number {
  const product = Math.imul(block, c1);
  return Math.imul((product << 15) | (product >>> 17), c2);
}

function withBlock(hash: number, block: number): number {
  const folded = hash ^ mixed(block);
  return (Math.imul((folded << 13) | (folded >>> 19), 5) + 0xe6546b64) | 0;
}

function finished({ hash, pending, bytes }: HashPrefix): number {
  return finalized(hash, pending, bytes);
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
