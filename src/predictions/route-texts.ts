/**
 * What a route decided, as the bytes of its four texts. There are few different decisions, and every routed request tells one:
 * they are encoded once, and found again by their texts.
 *
 * Must not know the rest of a frame.
 */
import type { Chunk } from './chunk.js';
import type { LoggedAssignment } from './event.js';
import { textCharsMax } from './layout.js';
import { putText } from './text-bytes.js';
import { putWords, type Words, wordsOf } from './words.js';

type Texts = Pick<LoggedAssignment, 'experiment' | 'assigned' | 'variant' | 'reason'>;

interface Known extends Texts {
  readonly words: Words;
}

const knownMax = 16;
const charsMax = 512;
const known: Known[] = [];
let oldest = 0;

/** @returns where it ends */
export function putRoute(chunk: Chunk, at: number, texts: LoggedAssignment): number {
  const { experiment, assigned, variant, reason } = texts;
  for (let i = 0; i < known.length; i++) {
    const one = known[i]!;
    if (one.variant !== variant || one.reason !== reason) continue;
    if (one.assigned === assigned && one.experiment === experiment) return putWords(chunk, at, one.words);
  }
  if (experiment.length + assigned.length + variant.length <= charsMax) remember(experiment, assigned, variant, reason);
  return putTexts(chunk, at, texts);
}

function putTexts(chunk: Chunk, at: number, { experiment, assigned, variant, reason }: Texts): number {
  let end = putText(chunk, at, experiment);
  end = putText(chunk, end, assigned);
  end = putText(chunk, end, variant);
  return putText(chunk, end, reason);
}

/** The texts only: what is remembered must hold no key. */
function remember(experiment: string, assigned: string, variant: string, reason: LoggedAssignment['reason']): void {
  const texts = { experiment, assigned, variant, reason };
  known[oldest] = { ...texts, words: wordsOf(4 * textCharsMax, (chunk) => putTexts(chunk, 0, texts)) };
  oldest = (oldest + 1) % knownMax;
}
