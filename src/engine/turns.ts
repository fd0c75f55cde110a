/**
 * Whose turn it is in a queue that several tenants share: each gets rows in proportion to its weight while it has any waiting.
 *
 *   waiting ─ by tenant, first come first ─▶ the tenant that has had the least for its weight ─▶ … ─▶ order
 *
 * Weighted fair queueing by what was served: what deficit round-robin approximates, exact because all that waits is at hand. A
 * row of one version costs what any other does, so rows stand for milliseconds. Who was idle has saved nothing up.
 *
 * Must not know batches, or who a tenant is.
 */

export interface Waiter {
  readonly rows: number;
  readonly request: { readonly tenant?: string | undefined };
}

export class Turns {
  readonly #weightOf: (tenant: string) => number;
  /** Rows that a tenant has had, divided by its weight; only of those that waited lately. */
  #served = new Map<string, number>();

  /** @param weightOf above 0 */
  constructor(weightOf: (tenant: string) => number) {
    this.#weightOf = weightOf;
  }

  /** Those whose turn is next, as many as fill `rowsMax`, at least one of what is given. */
  next<Of extends Waiter>(waiting: readonly Of[], rowsMax: number): readonly Of[] {
    const queues = queuesOf(waiting);
    if (queues.size <= 1) return waiting;
    const served = this.#levelled(queues.keys());
    const order: Of[] = [];
    for (let rows = 0; rows < rowsMax && queues.size > 0; ) {
      const tenant = leastOf(queues.keys(), served);
      const queue = queues.get(tenant)!;
      const entry = queue.shift()!;
      if (queue.length === 0) queues.delete(tenant);
      order.push(entry);
      rows += Math.max(1, entry.rows);
      served.set(tenant, served.get(tenant)! + costOf(entry) / this.#weightOf(tenant));
    }
    return order;
  }

  /** These run now. @param waiting what was waiting before */
  took(batch: readonly Waiter[], waiting: readonly Waiter[]): void {
    const tenants = new Set(waiting.map(tenantOf));
    if (tenants.size <= 1) {
      this.#served.clear();
      return;
    }
    const served = this.#levelled(tenants);
    for (const entry of batch) {
      const tenant = tenantOf(entry);
      served.set(tenant, served.get(tenant)! + costOf(entry) / this.#weightOf(tenant));
    }
    this.#served = served;
  }

  /** What each has had; who is new has had as much as the one that has had the least. */
  #levelled(tenants: Iterable<string>): Map<string, number> {
    const all = [...tenants];
    const known = all.flatMap((tenant) => this.#served.get(tenant) ?? []);
    const floor = known.length === 0 ? 0 : Math.min(...known);
    return new Map(all.map((tenant) => [tenant, this.#served.get(tenant) ?? floor]));
  }
}

function tenantOf({ request }: Waiter): string {
  return request.tenant ?? '';
}

function costOf({ rows }: Waiter): number {
  return Math.max(1, rows);
}

function queuesOf<Of extends Waiter>(waiting: readonly Of[]): Map<string, Of[]> {
  const queues = new Map<string, Of[]>();
  for (const entry of waiting) {
    const tenant = tenantOf(entry);
    const queue = queues.get(tenant);
    if (queue === undefined) queues.set(tenant, [entry]);
    else queue.push(entry);
  }
  return queues;
}

function leastOf(tenants: Iterable<string>, served: ReadonlyMap<string, number>): string {
  let least = '';
  let leastServed = Infinity;
  for (const tenant of tenants) {
    const had = served.get(tenant)!;
    if (had < leastServed) [least, leastServed] = [tenant, had];
  }
  return least;
}
