/**
 * Request ids: new ones (UUIDv7, so that they sort by time), and which text may be one in a header.
 *
 * Must not know clocks: time and chance are given.
 */

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const plain = /^[!-~]{1,128}$/;

/** The text can stand in a header as a request id (protocol §2.5). */
export function isRequestId(text: string): boolean {
  return plain.test(text);
}

/**
 * @param epochNow milliseconds since 1970
 * @param random in [0, 1)
 */
export function createIds(epochNow: () => number, random: () => number): () => string {
  let stampedAt = -1;
  let stamp = '';
  return () => {
    const now = Math.floor(epochNow());
    if (now !== stampedAt) {
      stampedAt = now;
      const text = now.toString(16).padStart(12, '0');
      stamp = `${text.slice(0, 8)}-${text.slice(8)}-7`;
    }
    const a = (random() * 0x1_0000_0000) >>> 0;
    const b = (random() * 0x1_0000_0000) >>> 0;
    const c = (random() * 0x1000_0000) >>> 0;
    return (
      stamp +
      hex[c & 0xff]!.concat(((c >>> 8) & 0xf).toString(16)) +
      '-' +
      hex[0x80 | ((c >>> 12) & 0x3f)] +
      hex[(c >>> 18) & 0xff] +
      '-' +
      hex[a >>> 24] +
      hex[(a >>> 16) & 0xff] +
      hex[(a >>> 8) & 0xff] +
      hex[a & 0xff] +
      hex[b >>> 24] +
      hex[(b >>> 16) & 0xff]
    );
  };
}
