/**
 * So many at once, the others in the order they came.
 *
 * Must not know what is done in a slot.
 */
export class Slots {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#taken === this.#max) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#taken++;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // The slot goes over as it is: were it freed first, a newcomer could take it before the one that waited.
      if (next === undefined) this.#taken--;
      else next();
    }
  }
}

/** All of `work`, or the first error once everything under way has ended: the signal given to each ends the others. */
export async function allOrFirstError<Result>(
  outer: AbortSignal,
  work: readonly ((signal: AbortSignal) => Promise<Result>)[],
): Promise<Result[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([outer, failed.signal]);
  let first: { readonly error: unknown } | undefined;
  const results = await Promise.all(
    work.map(async (one) => {
      try {
        return await one(signal);
      } catch (error) {
        first ??= { error };
        failed.abort();
        return undefined;
      }
    }),
  );
  if (first !== undefined) throw first.error;
  return results as Result[];
}
