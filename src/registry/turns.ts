/**
 * Whose turn it is: what happens to a model happens one thing after another, and what is due later waits for its turn as well.
 *
 * Must not know what is done in a turn.
 */
export class Turns {
  readonly #report: (what: string, error: unknown) => void;
  /** What happens to a model last, by name. */
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #isClosed = false;

  /** @param report what failed in a turn that nobody waits for */
  constructor(report: (what: string, error: unknown) => void) {
    this.#report = report;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Runs `work` after everything that is under way for this model. */
  take<Result>(model: string, work: () => Promise<Result>): Promise<Result> {
    const result = (this.#last.get(model) ?? Promise.resolve()).then(work);
    const settled = result.then(
      () => {},
      () => {},
    );
    this.#last.set(model, settled);
    void settled.then(() => {
      if (this.#last.get(model) === settled) this.#last.delete(model);
    });
    return result;
  }

  /** The same, and nobody waits for it. @param what names it in the report when it fails */
  unasked(what: string, model: string, work: () => Promise<void>): void {
    void this.take(model, work).catch((error: unknown) => this.#report(what, error));
  }

  /** The same after `delayMs`, in place of what was due under the same name. */
  later(what: string, model: string, delayMs: number, work: () => Promise<void>): void {
    this.forget(what);
    if (this.#isClosed) return;
    const timer = setTimeout(() => {
      this.#timers.delete(what);
      this.unasked(what, model, work);
    }, delayMs);
    this.#timers.set(what, timer.unref());
  }

  isDue(what: string): boolean {
    return this.#timers.has(what);
  }

  forget(what: string): void {
    clearTimeout(this.#timers.get(what));
    this.#timers.delete(what);
  }

  /** Nothing becomes due any more. */
  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
