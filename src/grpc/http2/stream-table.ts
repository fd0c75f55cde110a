/**
 * The open streams of a connection by their number: a hash table with open addressing.
 *
 * Not a Map: one that is added to and deleted from for every call leaves its old tables to the garbage collector, and those
 * keep finished calls alive. Numbers of streams follow one another, so they spread over the table by themselves.
 *
 * Must not know what a stream is.
 */
export class StreamTable<Entry extends { readonly id: number }> {
  #slots: (Entry | undefined)[] = new Array(8).fill(undefined);
  #mask = 7;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Entry | undefined {
    const slots = this.#slots;
    for (let slot = (id >>> 1) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = slots[slot];
      if (entry === undefined || entry.id === id) return entry;
    }
  }

  /** `entry.id` is not in the table. */
  add(entry: Entry): void {
    if (++this.#size * 2 > this.#slots.length) this.#grow();
    this.#put(entry);
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let gap = (id >>> 1) & mask;
    while (slots[gap]?.id !== id) {
      if (slots[gap] === undefined) return;
      gap = (gap + 1) & mask;
    }
    this.#size--;
    // Entries that had to step over the gap move back into it, or a search would end there.
    for (let slot = (gap + 1) & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot];
      if (entry === undefined) break;
      const home = (entry.id >>> 1) & mask;
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      slots[gap] = entry;
      gap = slot;
    }
    slots[gap] = undefined;
  }

  /** All of them now: the table may change while they are looked at. */
  entries(): Entry[] {
    return this.#slots.filter((entry) => entry !== undefined);
  }

  #put(entry: Entry): void {
    let slot = (entry.id >>> 1) & this.#mask;
    while (this.#slots[slot] !== undefined) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = entry;
  }

  #grow(): void {
    const entries = this.entries();
    this.#slots = new Array(this.#slots.length * 2).fill(undefined);
    this.#mask = this.#slots.length - 1;
    for (const entry of entries) this.#put(entry);
  }
}
