/**
 * What a replay has found so far: logged answers beside those of the candidate, item by item.
 *
 *   logged outputs, candidate's outputs ─▶ compareOutputs for each item ─▶ counts, greatest differences, worst examples
 *
 * Items agree when they have the same label: the first maximum of several numbers, the value of a single integer or text.
 * Where there is no label every element has to match within |p − q| ≤ 1e-6 + 1e-4·|p|.
 *
 * Must not know where answers come from.
 */

import { elementOf, isFloat } from '../control/logged-outputs.js';
import type { LoggedRequest } from '../control/logged-request.js';
import { argmax } from '../core/comparison.js';
import type { DataType } from '../core/tensor.js';
import { compareOutputs } from '../monitor/stats/outputs.js';
import type { Figures } from './replay-conditions.js';

/** An output of the candidate, elements in row-major order. */
export interface AnsweredOutput {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

/** An item on which both differ. */
export interface Example {
  readonly requestId: string;
  readonly item: number;
  readonly output: string;
  /** Who had answered. */
  readonly version: string;
  readonly logged: string;
  readonly candidate: string;
  readonly isAgreed: boolean;
  /** Undefined for texts, labels and answers of different shape. */
  readonly maxAbs: number | undefined;
}

export interface OutputTally {
  readonly output: string;
  readonly items: number;
  readonly agreed: number;
  readonly matched: number;
  /** Items whose lengths differ, or that only one side has. */
  readonly shapeMismatches: number;
  readonly maxAbs: number | undefined;
  readonly meanAbs: number | undefined;
}

type Element = number | bigint | boolean | string;

const examplesMax = 20;
const reasonsMax = 20;
const charsMax = 40;

export class ReplayTally {
  readonly #outputs = new Map<string, Running>();
  readonly #errors = new Map<string, number>();
  readonly #passedOver = new Map<string, number>();
  readonly #versions = new Map<string, number>();
  readonly #latencies: number[] = [];
  readonly #logged: number[] = [];
  #examples: Example[] = [];
  #items = 0;
  #failed = 0;

  /** Requests that were sent. */
  get sent(): number {
    return this.#latencies.length + this.#failed;
  }

  passOver(reason: string): void {
    count(this.#passedOver, reason);
  }

  /** The candidate did not answer. */
  fail(reason: string): void {
    this.#failed++;
    count(this.#errors, reason);
  }

  add(request: LoggedRequest, outputs: readonly AnsweredOutput[], latencyMs: number): void {
    const { items, version } = request;
    count(this.#versions, version);
    this.#latencies.push(latencyMs);
    this.#logged.push(request.latencyMs);
    this.#items += items.length;
    for (const [item, row] of items.entries()) {
      const logged = JSON.parse(String(row.outputs_json)) as Record<string, readonly unknown[]>;
      for (const [name, cells] of Object.entries(logged)) {
        const output = outputs.find((one) => one.name === name);
        this.#compare(request, { name, item, cells }, output);
      }
    }
  }

  #compare(
    { requestId, version, items }: LoggedRequest,
    { name, item, cells }: { readonly name: string; readonly item: number; readonly cells: readonly unknown[] },
    output: AnsweredOutput | undefined,
  ): void {
    const tally = this.#outputOf(name);
    const datatype = output?.datatype ?? 'BYTES';
    const mine = cells.map((cell) => elementOf(datatype, cell));
    const theirs = output === undefined ? [] : itemOf(output, item, items.length).map((v) => elementOf(datatype, v));
    // What is not split by items stands with the first of them.
    if (item > 0 && mine.length === 0 && theirs.length === 0) return;
    const isReal = isFloat(datatype);
    const isSame = output !== undefined && mine.length === theirs.length && mine.length > 0;
    const found = isSame ? compareOutputs(mine, theirs, { rows: 1, exact: !isReal }) : undefined;
    const isMatched = found?.matchRate === 1;
    const isAgreed = found !== undefined && (found.agreement === null ? isMatched : found.agreement === 1);
    const maxAbs = isReal ? (found?.maxAbsDiff ?? undefined) : undefined;
    tally.add({
      isAgreed,
      isMatched,
      isSame,
      maxAbs,
      meanAbs: isReal ? (found?.meanAbsDiff ?? undefined) : undefined,
    });
    if (isAgreed && isMatched) return;
    const sides = { logged: shownOf(mine), candidate: output === undefined ? 'no such output' : shownOf(theirs) };
    this.#keep({ requestId, item, output: name, version, ...sides, isAgreed, maxAbs });
  }

  #outputOf(name: string): Running {
    let tally = this.#outputs.get(name);
    if (tally === undefined) {
      tally = new Running(name);
      this.#outputs.set(name, tally);
    }
    return tally;
  }

  #keep(example: Example): void {
    this.#examples.push(example);
    if (this.#examples.length < 2 * examplesMax) return;
    this.#examples = worst(this.#examples);
  }

  get outputs(): OutputTally[] {
    return Array.from(this.#outputs.values(), (output) => output.value);
  }

  /** Worst first. */
  get examples(): readonly Example[] {
    return worst(this.#examples);
  }

  get counts(): {
    readonly answered: number;
    readonly failed: number;
    readonly items: number;
    readonly errors: ReadonlyMap<string, number>;
    readonly passedOver: ReadonlyMap<string, number>;
    readonly versions: ReadonlyMap<string, number>;
  } {
    const [answered, failed, items] = [this.#latencies.length, this.#failed, this.#items];
    const [errors, passedOver, versions] = [this.#errors, this.#passedOver, this.#versions];
    return { answered, failed, items, errors, passedOver, versions };
  }

  get loggedLatencyMs(): { readonly p50: number | undefined; readonly p99: number | undefined } {
    return { p50: quantile(this.#logged, 0.5), p99: quantile(this.#logged, 0.99) };
  }

  /** Of several outputs the one that is worst decides. */
  get figures(): Figures {
    const outputs = this.outputs.filter(({ items }) => items > 0);
    const most = (values: readonly (number | undefined)[]) => {
      const known = values.filter((value) => value !== undefined);
      return known.length === 0 ? undefined : Math.max(...known);
    };
    const least = (values: readonly number[]) => (values.length === 0 ? undefined : Math.min(...values));
    return {
      agree: least(outputs.map(({ agreed, items }) => agreed / items)),
      match: least(outputs.map(({ matched, items }) => matched / items)),
      max_abs: most(outputs.map(({ maxAbs }) => maxAbs)),
      mean_abs: most(outputs.map(({ meanAbs }) => meanAbs)),
      error_rate: this.sent === 0 ? undefined : this.#failed / this.sent,
      p50_ms: quantile(this.#latencies, 0.5),
      p99_ms: quantile(this.#latencies, 0.99),
    };
  }
}

interface Found {
  readonly isAgreed: boolean;
  readonly isMatched: boolean;
  readonly isSame: boolean;
  readonly maxAbs: number | undefined;
  readonly meanAbs: number | undefined;
}

class Running {
  readonly #output: string;
  #items = 0;
  #agreed = 0;
  #matched = 0;
  #shapeMismatches = 0;
  #measured = 0;
  #maxAbs = 0;
  #sumAbs = 0;

  constructor(output: string) {
    this.#output = output;
  }

  add({ isAgreed, isMatched, isSame, maxAbs, meanAbs }: Found): void {
    this.#items++;
    if (isAgreed) this.#agreed++;
    if (isMatched) this.#matched++;
    if (!isSame) this.#shapeMismatches++;
    if (maxAbs === undefined) return;
    this.#measured++;
    this.#maxAbs = Math.max(this.#maxAbs, maxAbs);
    this.#sumAbs += meanAbs ?? 0;
  }

  get value(): OutputTally {
    const isMeasured = this.#measured > 0;
    return {
      output: this.#output,
      items: this.#items,
      agreed: this.#agreed,
      matched: this.#matched,
      shapeMismatches: this.#shapeMismatches,
      maxAbs: isMeasured ? this.#maxAbs : undefined,
      meanAbs: isMeasured ? this.#sumAbs / this.#measured : undefined,
    };
  }
}

function itemOf({ shape, data }: AnsweredOutput, item: number, items: number): readonly unknown[] {
  if (shape[0] !== items) return item === 0 ? data : [];
  const size = data.length / items;
  return data.slice(item * size, (item + 1) * size);
}

function shownOf(elements: readonly Element[]): string {
  const [first] = elements;
  if (first === undefined) return 'nothing';
  if (elements.length === 1)
    return String(typeof first === 'number' ? Number(first.toPrecision(6)) : first).slice(0, charsMax);
  if (typeof first !== 'number') return `${String(first).slice(0, charsMax)}, …`;
  const numbers = Float64Array.from(elements, Number);
  const best = argmax(numbers, { from: 0, to: numbers.length });
  return best === -1 ? 'NaN' : `${best} (${Number(numbers[best]!.toPrecision(4))})`;
}

/** Other labels before other numbers, great differences before small ones. */
function worst(examples: readonly Example[]): Example[] {
  const rank = ({ isAgreed, maxAbs = Infinity }: Example) => [isAgreed ? 1 : 0, -maxAbs] as const;
  return examples
    .toSorted((a, b) => {
      const [[x, p], [y, q]] = [rank(a), rank(b)];
      return x === y ? (p === q ? 0 : p - q) : x - y;
    })
    .slice(0, examplesMax);
}

function count(counts: Map<string, number>, key: string): void {
  const known = counts.has(key) || counts.size < reasonsMax ? key : '…';
  counts.set(known, (counts.get(known) ?? 0) + 1);
}

/** The nearest rank. */
function quantile(values: readonly number[], share: number): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
