/**
 * What rules make of values before a record is written: `mask` and `drop` leave nothing, `hash` a keyed digest by which equal
 * values can be told, `bucket` the number of a range.
 *
 * A digest is `k<generation>:` and 32 hexadecimal digits of HMAC-SHA256, so that values under an older key are not taken for
 * different ones.
 *
 * Must not know frames or files.
 */
import { createHmac } from 'node:crypto';
import type { Cell, PayloadTensor } from './payload.js';
import type { Rule } from './subject.js';
import { rowLength } from './tensor-bytes.js';

export interface HashKey {
  readonly generation: number;
  readonly key: Uint8Array;
}

/** The tensors with every rule of their side applied. */
export function redacted(
  tensors: readonly PayloadTensor[],
  rules: readonly Rule[],
  key: HashKey,
): readonly PayloadTensor[] {
  return tensors.map((tensor) => {
    const own = rules.filter((rule) => rule.tensor === tensor.name);
    if (own.length === 0) return tensor;
    const perRow = rowLength(tensor.shape, tensor.length);
    const data = tensor.data.map((value, i) => {
      const rule = own.find(({ index }) => index === -1 || index === i % perRow);
      return rule === undefined ? value : replaced(value, rule, key);
    });
    return { ...tensor, data };
  });
}

function replaced(value: Cell, rule: Rule, { generation, key }: HashKey): Cell {
  if (value === null) return null;
  switch (rule.how) {
    case 'drop':
      return null;
    case 'mask':
      return '***';
    case 'hash':
      return `k${generation}:${createHmac('sha256', key).update(String(value)).digest('hex').slice(0, 32)}`;
    case 'bucket':
      return bucketOf(Number(value), rule.edges);
  }
}

/** Edges that the value is not below; null for what is no number. */
function bucketOf(value: number, edges: readonly number[]): number | null {
  if (Number.isNaN(value)) return null;
  let bucket = 0;
  while (bucket < edges.length && value >= edges[bucket]!) bucket++;
  return bucket;
}
