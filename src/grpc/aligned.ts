/**
 * Raw contents where the runtime wants them: they begin anywhere in their message, and a typed array does not.
 *
 * Small ones are copied side by side into a slab, which is never written twice. With a buffer for each, decoding a request
 * of 30 floats takes 2.9 µs of CPU instead of 1.6 (best of 25 × 40,000, garbage collection included).
 *
 * Must not know messages.
 */
const slabBytes = 65_536;
/** Chosen: a larger one is worth a buffer of its own, which lives no longer than its request. */
const copyBytesMax = 8192;
/** The runtime copies what does not begin on such a boundary. */
const boundary = 16;

let slab = Buffer.allocUnsafeSlow(slabBytes);
let next = 0;

/** The same bytes, on a boundary when they are few. */
export function aligned(bytes: Uint8Array): Uint8Array {
  const { length, byteOffset } = bytes;
  if (byteOffset % boundary === 0 || length > copyBytesMax) return bytes;
  if (next + length > slabBytes) {
    slab = Buffer.allocUnsafeSlow(slabBytes);
    next = 0;
  }
  const copy = slab.subarray(next, next + length);
  copy.set(bytes);
  next = Math.ceil((next + length) / boundary) * boundary;
  return copy;
}
