/**
 * Two answers to the same request, or to many, compared (monitoring §9.2): primary first, shadow second.
 *
 *   nested arrays ─▶ shape, elements ─▶ items of the first dimension ─▶ measures of each ─▶ one row of numbers
 *
 * Must not know tensors, requests or who keeps the results.
 */
import {
  argmax,
  cosine,
  differences,
  isNear,
  jsDistanceBits,
  klNats,
  type Range,
  topkOverlap,
} from '../../core/comparison.js';
import { invalid } from '../../core/errors.js';
import { kappaOf, type LabelCount } from '../../core/shadow-report.js';
import { type Element, type Nested, type Output, outputOf } from './output.js';

export interface CompareOptions {
  /** Elements match within abs + rel·|primary|. */
  readonly abs?: number;
  readonly rel?: number;
  /** Of `topkOverlap`. */
  readonly k?: number;
  /** The outputs are distributions, for which a divergence in nats makes sense. */
  readonly probabilities?: boolean;
  /** Numbers are integers: equality decides, and an item of one number is a label. */
  readonly exact?: boolean;
  /** Items that a flat list holds; without it a flat list of numbers is one item, one of texts or booleans an item each. */
  readonly rows?: number;
}

/** Null = not defined: for texts, for no items, or as each measure says. */
export interface OutputComparison {
  /** The shapes differ, and nothing was compared. */
  readonly shapeMismatch: boolean;
  readonly items: number;
  /** Share of items whose every element matches. */
  readonly matchRate: number | null;
  /** In every item the first maximum stands at the same index. */
  readonly argmaxAgree: boolean | null;
  /** Over all elements: max |p − q|, mean |p − q|, √mean (p − q)². */
  readonly maxAbsDiff: number | null;
  readonly meanAbsDiff: number | null;
  readonly rmse: number | null;
  /** Σpq/(√Σp²·√Σq²), null when a norm is 0. This and what follows, of several items: the mean where it is defined. */
  readonly cosine: number | null;
  /** Σ p·ln(p/q), Infinity when q is 0 where p is not; only for `probabilities`. */
  readonly klPrimaryShadowNats: number | null;
  /** Null when an element is negative. */
  readonly jsDistanceBits: number | null;
  readonly topkOverlap: number | null;
  /** Share of items with the same label: the index of the first maximum, or the value of an exact item of one element. */
  readonly agreement: number | null;
  /** Agreement beyond chance: (p_o − p_e)/(1 − p_e), null when p_e is 1. Source: Cohen 1960. */
  readonly cohenKappa: number | null;
}

const defaults = { abs: 1e-6, rel: 1e-4, k: 5, probabilities: false, exact: false };
type Settings = CompareOptions & typeof defaults;

/** @throws INVALID_ARGUMENT when an output is ragged, or its rows do not divide it */
export function compareOutputs(primary: Nested, shadow: Nested, options: CompareOptions = {}): OutputComparison {
  const settings: Settings = { ...defaults, ...options };
  const [p, q] = [outputOf(primary), outputOf(shadow)];
  const isSameShape = p.shape.join() === q.shape.join();
  const items = isSameShape ? itemsOf(p, settings) : 0;
  const tally = new Comparison(p, q, settings);
  const size = p.elements.length / items;
  for (let i = 0; i < items; i++) tally.add({ from: i * size, to: (i + 1) * size });
  return tally.result(!isSameShape);
}

function itemsOf({ shape, elements }: Output, { rows }: Settings): number {
  if (elements.length === 0) return 0;
  const isOneItem = shape.length === 1 && typeof elements[0] !== 'string' && typeof elements[0] !== 'boolean';
  const items = rows ?? (isOneItem ? 1 : shape[0]!);
  if (!(Number.isSafeInteger(items) && items >= 1 && elements.length % items === 0))
    throw invalid(`${elements.length} elements are not ${items} rows`);
  return items;
}

class Mean {
  #n = 0;
  #sum = 0;

  add(value: number): void {
    if (Number.isNaN(value)) return;
    this.#n++;
    this.#sum += value;
  }

  get value(): number | null {
    return this.#n === 0 ? null : this.#sum / this.#n;
  }
}

class Comparison {
  readonly #p: Output;
  readonly #q: Output;
  readonly #settings: Settings;
  readonly #isNumeric: boolean;
  readonly #absDiff = new Mean();
  readonly #squaredDiff = new Mean();
  readonly #cosine = new Mean();
  readonly #kl = new Mean();
  readonly #js = new Mean();
  readonly #topk = new Mean();
  readonly #labels = new Map<Element, { label: string; primary: number; shadow: number }>();
  #items = 0;
  #matched = 0;
  #argmaxAgree = true;
  #maxAbsDiff = 0;
  #labelled = 0;
  #labelAgreed = 0;

  constructor(p: Output, q: Output, settings: Settings) {
    this.#p = p;
    this.#q = q;
    this.#settings = settings;
    this.#isNumeric = p.numbers !== undefined && q.numbers !== undefined;
  }

  add(range: Range): void {
    this.#items++;
    if (this.#isMatched(range)) this.#matched++;
    const isSingle = range.to - range.from === 1;
    const [mine, theirs] = [this.#p.elements[range.from]!, this.#q.elements[range.from]!];
    if (isSingle && (this.#settings.exact || typeof mine !== 'number')) this.#label(mine, theirs);
    if (this.#isNumeric) this.#measure(this.#p.numbers!, this.#q.numbers!, range);
  }

  #isMatched({ from, to }: Range): boolean {
    const { abs: absolute, rel: relative, exact } = this.#settings;
    for (let i = from; i < to; i++) {
      const [mine, theirs] = [this.#p.elements[i]!, this.#q.elements[i]!];
      const isReal = typeof mine === 'number' && typeof theirs === 'number' && !exact;
      if (isReal ? !isNear(mine, theirs, { absolute, relative }) : mine !== theirs) return false;
    }
    return true;
  }

  #measure(p: Float64Array, q: Float64Array, range: Range): void {
    const { max, mean, rmse } = differences(p, q, range);
    this.#maxAbsDiff = Math.max(this.#maxAbsDiff, max);
    this.#absDiff.add(mean);
    this.#squaredDiff.add(rmse * rmse);
    this.#cosine.add(cosine(p, q, range));
    if (this.#settings.probabilities) this.#kl.add(klNats(p, q, range));
    this.#js.add(jsDistanceBits(p, q, range));
    this.#topk.add(topkOverlap(p, q, range, this.#settings.k));
    const [mine, theirs] = [argmax(p, range), argmax(q, range)];
    if (mine !== theirs) this.#argmaxAgree = false;
    if (range.to - range.from > 1) this.#label(mine, theirs);
  }

  #label(primary: Element, shadow: Element): void {
    this.#labelled++;
    if (primary === shadow) this.#labelAgreed++;
    this.#countsOf(primary).primary++;
    this.#countsOf(shadow).shadow++;
  }

  #countsOf(label: Element): { primary: number; shadow: number } {
    let counts = this.#labels.get(label);
    if (counts === undefined) {
      counts = { label: String(label), primary: 0, shadow: 0 };
      this.#labels.set(label, counts);
    }
    return counts;
  }

  result(shapeMismatch: boolean): OutputComparison {
    const isMeasured = this.#isNumeric && this.#items > 0;
    const labels: readonly LabelCount[] = [...this.#labels.values()];
    const [labelled, labelAgreed] = [this.#labelled, this.#labelAgreed];
    const squared = this.#squaredDiff.value;
    return {
      shapeMismatch,
      items: this.#items,
      matchRate: this.#items === 0 ? null : this.#matched / this.#items,
      argmaxAgree: isMeasured ? this.#argmaxAgree : null,
      maxAbsDiff: isMeasured ? this.#maxAbsDiff : null,
      meanAbsDiff: this.#absDiff.value,
      rmse: squared === null ? null : Math.sqrt(squared),
      cosine: this.#cosine.value,
      klPrimaryShadowNats: this.#kl.value,
      jsDistanceBits: this.#js.value,
      topkOverlap: this.#topk.value,
      agreement: labelled === 0 ? null : labelAgreed / labelled,
      cohenKappa: kappaOf({ labelled, labelAgreed, labels }) ?? null,
    };
  }
}
