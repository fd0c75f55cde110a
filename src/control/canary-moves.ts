/**
 * How one state of a canary becomes the next: by which move, and what the audit log calls it.
 *
 * Must not know any rule of when to move.
 */
import type { CanaryAction } from '../monitor/canary.js';
import type { CanaryState } from '../monitor/canary-state.js';

export type Move = Exclude<CanaryAction, 'none'>;

export const moveNames = {
  advance: 'canary.advanced',
  hold: 'canary.held',
  rollback: 'canary.rolled_back',
  promote: 'canary.promoted',
} as const;

/** An operator lets it go on where it stands. */
export function isResumed(before: CanaryState, after: CanaryState): boolean {
  return before.status === 'held' && after.status === 'running' && after.step === before.step;
}

/** @returns undefined when it is so already */
export function moveTo(before: CanaryState, after: CanaryState): Move | undefined {
  if (after.status === 'rolled_back') return 'rollback';
  if (after.status === 'promoted') return 'promote';
  if (after.step > before.step) return 'advance';
  return after.status === 'held' && before.status !== 'held' ? 'hold' : undefined;
}
