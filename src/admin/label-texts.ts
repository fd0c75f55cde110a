/**
 * Labels as they stand between the braces: the identity of a series.
 *
 * Making a text is most of the work of adding up, so it is made once for each object of labels. All families of a version
 * share one, and what a process tells keeps its objects from one time to the next.
 *
 * Must not know series.
 */
import type { Series } from '../core/series.js';

type Labels = Series['labels'];

export class LabelTexts {
  readonly #byObject = new WeakMap<Labels, string>();
  /** Names as they stand in a text, by the names as they came. */
  readonly #ordered = new Map<string, readonly string[]>();
  /** The same by the names in order: as they stood when the set was first seen. */
  readonly #orderOfSet = new Map<string, readonly string[]>();

  of(labels: Labels): string {
    let text = this.#byObject.get(labels);
    if (text === undefined) {
      text = labelText(labels, this.#orderOf(Object.keys(labels)));
      this.#byObject.set(labels, text);
    }
    return text;
  }

  #orderOf(names: readonly string[]): readonly string[] {
    const key = names.join();
    let order = this.#ordered.get(key);
    if (order === undefined) {
      const set = [...names].sort().join();
      order = this.#orderOfSet.get(set) ?? names;
      this.#orderOfSet.set(set, order);
      this.#ordered.set(key, order);
    }
    return order;
  }
}

/** `model="m",version="1"`: the labels in the order of `names`. */
export function labelText(labels: Readonly<Record<string, string>>, names: readonly string[]): string {
  let text = '';
  for (const name of names) text += `${text === '' ? '' : ','}${name}="${escaped(labels[name] ?? '')}"`;
  return text;
}

/** A tensor has a name as long as whoever made the model likes. */
const valueCharactersMax = 256;
/** Halves of characters, too, which would be no UTF-8. */
const special = /[\\"\n\ud800-\udfff]/;

function escaped(value: string): string {
  const short = value.length > valueCharactersMax ? `${value.slice(0, valueCharactersMax - 1)}…` : value;
  if (!special.test(short)) return short;
  return short.toWellFormed().replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
