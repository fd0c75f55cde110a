/**
 * The first n of a stream in some order, at any time: a sorted list that forgets its end.
 *
 * Must not know what is ranked.
 */
export class Ranked<T> {
  readonly #sizeMax: number;
  readonly #compare: (a: T, b: T) => number;
  #items: T[] = [];

  /** @param compare negative when the first belongs before the second */
  constructor(sizeMax: number, compare: (a: T, b: T) => number) {
    this.#sizeMax = sizeMax;
    this.#compare = compare;
  }

  get items(): readonly T[] {
    return this.#items;
  }

  offer(item: T): void {
    const items = this.#items;
    if (items.length === this.#sizeMax && this.#compare(item, items.at(-1)!) >= 0) return;
    let [low, high] = [0, items.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(item, items[middle]!) < 0) high = middle;
      else low = middle + 1;
    }
    items.splice(low, 0, item);
    if (items.length > this.#sizeMax) items.pop();
  }
}
