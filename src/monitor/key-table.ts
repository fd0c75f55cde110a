/**
 * What the keys of one phase did: for each key its variant, and for each metric how many observations and their sum.
 *
 *   deltas of K processes, labels that come later ─▶ add() ─▶ columns by key ─▶ moments of an arm and metric
 *                                                            state() ⇄ restore()
 *
 * One key meets any of the processes, so only here is it one unit. The table takes the first keys it sees, up to a limit, and
 * counts the others: who comes first does not depend on the variant, so the comparison stays fair.
 *
 * Must not know how a key becomes a number, or what is concluded.
 */
import type { KeyDeltas } from '../core/arm-counts.js';
import { GatewayError } from '../core/errors.js';
import { type Moments, momentsOfKeys } from './moments.js';

/** Metrics that every experiment counts; those of labels are added by name. */
export const errorRate = 'error_rate';
export const slowShare = 'slow_share';

export interface KeyTableOptions {
  readonly variants: readonly string[];
  /** Beside error rate and slow share. */
  readonly labelMetrics: readonly string[];
  /** 200,000 keys with three metrics take about 25 MB. */
  readonly keysMax: number;
}

interface Column {
  counts: Float64Array;
  sums: Float64Array;
}

/** Everything that a table holds, one entry of each column for one key. */
export interface KeyTableState {
  readonly keys: Float64Array;
  /** By place among the variants. */
  readonly variantOf: Uint8Array;
  readonly columns: Readonly<Record<string, Readonly<Column>>>;
  readonly keysOverCap: number;
  readonly keysMoved: number;
}

const rowsAtFirst = 1024;

export class KeyTable {
  readonly #variants: readonly string[];
  readonly #keysMax: number;
  #rows = new Map<number, number>();
  readonly #columns: ReadonlyMap<string, Column>;
  readonly #keys: number[];
  #variantOf = new Uint8Array(rowsAtFirst);
  /** Deltas of keys for which there was no room. */
  keysOverCap = 0;
  /** Deltas of keys that came with two variants in one phase, which assignment does not do. */
  keysMoved = 0;
  /** How often something came: whoever keeps the table sees by it whether there is more to keep. */
  additions = 0;

  constructor({ variants, labelMetrics, keysMax }: KeyTableOptions) {
    this.#variants = variants;
    this.#keysMax = keysMax;
    this.#keys = variants.map(() => 0);
    this.#columns = new Map([errorRate, slowShare, ...labelMetrics].map((metric) => [metric, emptyColumn()]));
  }

  get size(): number {
    return this.#rows.size;
  }

  addDeltas(deltas: KeyDeltas): void {
    const variant = this.#indexOf(deltas.variant);
    const [errors, slow] = [this.#column(errorRate), this.#column(slowShare)];
    this.additions++;
    for (let i = 0; i < deltas.keys.length; i++) {
      const row = this.#rowOf(variant, deltas.keys[i]!);
      if (row === undefined) continue;
      const requests = deltas.requests[i]!;
      errors.counts[row]! += requests;
      errors.sums[row]! += deltas.faults[i]!;
      slow.counts[row]! += deltas.timed[i]!;
      slow.sums[row]! += deltas.slow[i]!;
    }
  }

  /** One observation of a metric that needs labels; a replaced label is taken back by `count` −1 and its own value. */
  addLabel(variant: string, key: number, observation: { metric: string; count: number; sum: number }): void {
    const column = this.#column(observation.metric);
    this.additions++;
    const row = this.#rowOf(this.#indexOf(variant), key);
    if (row === undefined) return;
    column.counts[row]! += observation.count;
    column.sums[row]! += observation.sum;
  }

  /** Distinct keys of a variant. */
  keysOf(variant: string): number {
    return this.#keys[this.#indexOf(variant)]!;
  }

  momentsOf(variant: string, metric: string): Moments {
    const group = this.#indexOf(variant);
    return momentsOfKeys({ ...this.#column(metric), groupOf: this.#variantOf, rows: this.#rows.size }, group);
  }

  /** Every metric of a variant by name. */
  metricsOf(variant: string): Record<string, Moments> {
    return Object.fromEntries(Array.from(this.#columns.keys(), (metric) => [metric, this.momentsOf(variant, metric)]));
  }

  /** As it is now: columns are not copied. */
  state(): KeyTableState {
    const rows = this.#rows.size;
    const keys = new Float64Array(rows);
    let row = 0;
    for (const key of this.#rows.keys()) keys[row++] = key;
    const column = ({ counts, sums }: Column) => ({ counts: counts.subarray(0, rows), sums: sums.subarray(0, rows) });
    return {
      keys,
      variantOf: this.#variantOf.subarray(0, rows),
      columns: Object.fromEntries(Array.from(this.#columns, ([metric, one]) => [metric, column(one)])),
      keysOverCap: this.keysOverCap,
      keysMoved: this.keysMoved,
    };
  }

  /**
   * Goes on where another table of the same variants was. A metric that this one does not have is left out, and one that
   * the other had not begins now.
   * @throws INTERNAL for a state that no table has had; this one is as it was
   */
  restore({ keys, variantOf, columns, keysOverCap, keysMoved }: KeyTableState): void {
    const rows = keys.length;
    const columnsHere = Object.values(columns).flatMap(({ counts, sums }) => [counts, sums]);
    const isWhole =
      rows <= this.#keysMax &&
      [variantOf, ...columnsHere].every(({ length }) => length === rows) &&
      variantOf.every((variant) => variant < this.#variants.length) &&
      [keys, ...columnsHere].every((values) => values.every((value) => Number.isFinite(value)));
    const places = new Map<number, number>();
    for (let row = 0; row < rows; row++) places.set(keys[row]!, row);
    if (!isWhole || places.size < rows || this.#rows.size > 0)
      throw new GatewayError('INTERNAL', 'kept counts of keys do not fit together');
    while (this.#variantOf.length < rows) this.#grow();
    this.#variantOf.set(variantOf);
    this.#rows = places;
    for (const variant of variantOf) this.#keys[variant]!++;
    for (const [metric, column] of this.#columns) {
      const before = Object.hasOwn(columns, metric) ? columns[metric]! : undefined;
      if (before === undefined) continue;
      column.counts.set(before.counts);
      column.sums.set(before.sums);
    }
    this.keysOverCap = keysOverCap;
    this.keysMoved = keysMoved;
  }

  #indexOf(variant: string): number {
    const index = this.#variants.indexOf(variant);
    if (index === -1)
      throw new GatewayError('INTERNAL', `counts of variant '${variant}', which this phase does not have`);
    return index;
  }

  #column(metric: string): Column {
    const column = this.#columns.get(metric);
    if (column === undefined) throw new GatewayError('INTERNAL', `counts of metric '${metric}', which nobody declared`);
    return column;
  }

  #rowOf(variant: number, key: number): number | undefined {
    const known = this.#rows.get(key);
    if (known !== undefined) {
      if (this.#variantOf[known] === variant) return known;
      this.keysMoved++;
      return undefined;
    }
    if (this.#rows.size >= this.#keysMax) {
      this.keysOverCap++;
      return undefined;
    }
    const row = this.#rows.size;
    if (row === this.#variantOf.length) this.#grow();
    this.#rows.set(key, row);
    this.#variantOf[row] = variant;
    this.#keys[variant]!++;
    return row;
  }

  #grow(): void {
    const length = Math.min(this.#keysMax, 2 * this.#variantOf.length);
    const variantOf = new Uint8Array(length);
    variantOf.set(this.#variantOf);
    this.#variantOf = variantOf;
    for (const column of this.#columns.values()) {
      column.counts = grown(column.counts, length);
      column.sums = grown(column.sums, length);
    }
  }
}

function emptyColumn(): Column {
  return { counts: new Float64Array(rowsAtFirst), sums: new Float64Array(rowsAtFirst) };
}

function grown(values: Float64Array, length: number): Float64Array {
  const longer = new Float64Array(length);
  longer.set(values);
  return longer;
}
