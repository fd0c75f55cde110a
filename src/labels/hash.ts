/**
 * The 64 bits by which a text is found. Whoever finds something compares the text itself.
 *
 * Must not know what is found.
 */
import { murmur3 } from '../core/murmur3.js';
import type { Hash } from './run.js';

const seeds = [0x9747b28c, 0x1b873593] as const;

export function hashOf(text: string): Hash {
  return { high: murmur3(text, seeds[0]) >>> 0, low: murmur3(text, seeds[1]) >>> 0 };
}
