/**
 * A sum that keeps the digits which plain addition loses (Neumaier's variant of Kahan's; A. Neumaier, ZAMM 54, 1974).
 *
 * Two implementations of a formula agree to 1e-9 only when neither loses digits on the way, whatever the order of the terms.
 *
 * Must not know what is added.
 */
export class Sum {
  #sum = 0;
  #lost = 0;

  add(term: number): void {
    const sum = this.#sum + term;
    this.#lost += Math.abs(this.#sum) >= Math.abs(term) ? this.#sum - sum + term : term - sum + this.#sum;
    this.#sum = sum;
  }

  /** An infinite sum has lost nothing: there `#lost` is NaN. */
  get value(): number {
    return Number.isFinite(this.#sum) ? this.#sum + this.#lost : this.#sum;
  }
}
