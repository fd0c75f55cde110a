/**
 * Writes header blocks (HPACK) in literals that leave no trace in the peer's table, so that a block which is the same for every
 * reply is written once, and nothing here depends on what was sent before.
 *
 * Must not know which fields there are.
 */
import { staticNames } from './static-table.js';

/** The fields of `fields` as bytes. Values are ASCII. */
export function fieldBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [fieldName(name), textOf(value)]));
}

/** `:status`, which most replies have in one byte. */
export function statusBlock(status: number): Buffer {
  return status === 200 ? Buffer.of(0x88) : fieldBlock([[':status', `${status}`]]);
}

/** A field up to its value. */
export function fieldName(name: string): Buffer {
  const index = staticNames.indexOf(name);
  return index <= 0 ? Buffer.concat([Buffer.of(0), textOf(name)]) : integer(index, 4, 0);
}

/** Bytes of a value. */
export function valueSize(value: string): number {
  return (value.length < 127 ? 1 : integer(value.length, 7, 0).length) + value.length;
}

/** @returns where the next byte goes */
export function writeValue(out: Buffer, at: number, value: string): number {
  const { length } = value;
  let next = at;
  if (length < 127) out[next++] = length;
  else next += integer(length, 7, 0).copy(out, next);
  return next + out.write(value, next, length, 'latin1');
}

function textOf(text: string): Buffer {
  const out = Buffer.alloc(valueSize(text));
  writeValue(out, 0, text);
  return out;
}

/** An integer with a prefix of `bits` bits under `flags` (RFC 7541 §5.1). */
function integer(value: number, bits: number, flags: number): Buffer {
  const mask = (1 << bits) - 1;
  if (value < mask) return Buffer.of(flags | value);
  const bytes = [flags | mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.of(...bytes, rest);
}
