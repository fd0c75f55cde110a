/**
 * PART OF THE ROOT: what the answers of a version stand for, from what its manifest says of them.
 *
 * Must not know labels.
 */
import type { Version } from '../core/model.js';
import type { Meaning } from '../labels/meaning.js';

const namesMax = 200;

export function meaningOf({
  semantics,
  labels,
  signature,
}: Pick<Version, 'semantics' | 'labels' | 'signature'>): Meaning {
  const { score, threshold = 0.5, task } = semantics ?? {};
  const names = (score && labels[score.output]) ?? Object.values(labels)[0] ?? [];
  // Of two columns the score is one of them; a single one is the score of class 1.
  const width = signature.outputs.find(({ name }) => name === score?.output)?.shape.at(-1);
  const positive = width === 2 && score?.column === 0 ? 0 : 1;
  return {
    task: task === 'binary' ? 'binary' : task === 'regression' ? 'numbers' : 'classes',
    names: names.length <= namesMax ? names : [],
    positive,
    threshold,
  };
}
