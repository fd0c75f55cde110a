/**
 * Ids of traces and spans, out of a supply of random bytes: the system's source of chance costs over a microsecond each time it is
 * asked, whatever for.
 *
 * Must not know where chance comes from.
 */

/** So many random bytes in hexadecimal digits. */
export type NewId = (bytes: number) => string;

const supplyBytes = 4096;

export function createSpanIds(random: (bytes: number) => Buffer): NewId {
  let supply = random(supplyBytes);
  let at = 0;
  return (bytes) => {
    if (at + bytes > supply.length) {
      supply = random(supplyBytes);
      at = 0;
    }
    at += bytes;
    return supply.toString('hex', at - bytes, at);
  };
}
