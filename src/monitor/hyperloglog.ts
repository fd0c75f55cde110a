/**
 * How many different keys there were, in 4,096 bytes whatever their number (monitoring §10.5).
 *
 * HyperLogLog with p = 12: standard error 1.6 %. Two merge by the greater of each register, so a key that met two processes
 * counts once. Source: Flajolet, Fusy, Gandouet, Meunier 2007, with their correction for few keys.
 *
 * Must not know what the keys are.
 */
import { murmur3 } from '../core/murmur3.js';

export const registers = 4096;

/** Hash of 64 bits: the first 12 choose the register, the zeros that lead the other 52 are what it keeps. */
export function addKey(held: Uint8Array, key: string): void {
  const high = murmur3(key, 0);
  const rest = high & 0xfffff;
  const zeros = rest !== 0 ? Math.clz32(rest) - 12 : 20 + Math.clz32(murmur3(key, 1));
  const register = high >>> 20;
  if (zeros + 1 > held[register]!) held[register] = zeros + 1;
}

export function mergeRegisters(into: Uint8Array, from: Uint8Array): void {
  for (let i = 0; i < registers; i++) if (from[i]! > into[i]!) into[i] = from[i]!;
}

export function distinctIn(held: Uint8Array): number {
  let sum = 0;
  let empty = 0;
  for (let i = 0; i < registers; i++) {
    sum += 2 ** -held[i]!;
    if (held[i] === 0) empty++;
  }
  const raw = ((0.7213 / (1 + 1.079 / registers)) * registers * registers) / sum;
  return raw <= 2.5 * registers && empty > 0 ? registers * Math.log(registers / empty) : raw;
}
