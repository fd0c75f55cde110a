/**
 * What the keys of one arm did since they were last told: a row for each key, a column for each count.
 *
 * Columns double when they are full and are left behind when they are taken, so that nothing is cleared.
 *
 * Must not know arms.
 */

/** Columns of one length. */
interface Columns {
  readonly requests: Float64Array;
  readonly faults: Float64Array;
  readonly timed: Float64Array;
  readonly slow: Float64Array;
}

const rowsAtFirst = 64;

export class KeyColumns {
  #rows = new Map<number, number>();
  #columns = columnsOf(rowsAtFirst);

  get size(): number {
    return this.#rows.size;
  }

  rowOf(key: number): number | undefined {
    return this.#rows.get(key);
  }

  /** @returns the row of a key that has none yet */
  added(key: number): number {
    const row = this.#rows.size;
    if (row === this.#columns.requests.length) this.#columns = columnsOf(2 * row, this.#columns);
    this.#rows.set(key, row);
    return row;
  }

  /** @param isSlow undefined when nobody knows */
  count(row: number, fault: 0 | 1, isSlow: boolean | undefined): void {
    const { requests, faults, timed, slow } = this.#columns;
    requests[row]!++;
    faults[row]! += fault;
    if (isSlow === undefined) return;
    timed[row]!++;
    if (isSlow) slow[row]!++;
  }

  /** What has come together; from here on there is nothing. */
  take(): Columns & { readonly keys: Float64Array } {
    const { requests, faults, timed, slow } = this.#columns;
    const keys = Float64Array.from(this.#rows.keys());
    const taken = (column: Float64Array) => column.slice(0, keys.length);
    this.#rows = new Map();
    this.#columns = columnsOf(rowsAtFirst);
    return { keys, requests: taken(requests), faults: taken(faults), timed: taken(timed), slow: taken(slow) };
  }
}

function columnsOf(length: number, before?: Columns): Columns {
  const column = (old: Float64Array | undefined) => {
    const fresh = new Float64Array(length);
    if (old !== undefined) fresh.set(old);
    return fresh;
  };
  return {
    requests: column(before?.requests),
    faults: column(before?.faults),
    timed: column(before?.timed),
    slow: column(before?.slow),
  };
}
