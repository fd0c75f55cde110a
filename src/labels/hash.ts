/**
 * The 64 bits by which a text is found. Whoever finds something compares the text itself.
 *
 * Must not know what is found.
 */
import { hashOf as hashWith, prefixOf, wordsOf } from '../core/murmur3.js';
import type { Hash } from './run.js';

const [high, low] = [prefixOf('', 0x9747b28c), prefixOf('', 0x1b873593)];

export function hashOf(text: string): Hash {
  const words = wordsOf(text);
  return { high: hashWith(high, words), low: hashWith(low, words) };
}
