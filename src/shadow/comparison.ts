/**
 * The measures of two answers, as this room takes them from the floor, where offline analysis finds the same ones.
 *
 * Must not know tensors, requests or who keeps the results.
 */
export {
  areNear,
  argmax,
  cosine,
  differences,
  isNear,
  jsDistanceBits,
  klNats,
  type Range,
  topkOverlap,
} from '../core/comparison.js';
