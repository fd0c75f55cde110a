/**
 * How often one address may do something: a bucket for each, which fills again by itself.
 *
 * The number of buckets is bounded: the one that was used longest ago makes room.
 *
 * Must not know what is attempted.
 */

const addressesMax = 1000;

export interface AttemptsOptions {
  /** How many may come at once. */
  readonly burst: number;
  /** Time after which one more may come. */
  readonly refillMs: number;
  /** Milliseconds that never go back. */
  readonly now: () => number;
}

interface Bucket {
  left: number;
  at: number;
}

export class Attempts {
  readonly #options: AttemptsOptions;
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Milliseconds until this address may try again; 0 = it may now. */
  waitMs(address: string): number {
    const bucket = this.#buckets.get(networkOf(address));
    if (bucket === undefined) return 0;
    const left = this.#leftIn(bucket);
    return left >= 1 ? 0 : Math.ceil((1 - left) * this.#options.refillMs);
  }

  /** @returns true when this was the last attempt for a while */
  count(address: string): boolean {
    const { burst, now } = this.#options;
    const network = networkOf(address);
    const known = this.#buckets.get(network);
    const left = (known === undefined ? burst : this.#leftIn(known)) - 1;
    this.#buckets.delete(network);
    this.#buckets.set(network, { left: Math.max(0, left), at: now() });
    if (this.#buckets.size > addressesMax) this.#buckets.delete(this.#buckets.keys().next().value!);
    return left < 1;
  }

  #leftIn({ left, at }: Bucket): number {
    const { burst, refillMs, now } = this.#options;
    return Math.min(burst, left + (now() - at) / refillMs);
  }
}

/** Whoever has one address of IPv6 has all of its /64. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const behind = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - behind.length);
  return [...groups, ...Array<string>(zeros).fill('0'), ...behind].slice(0, 4).join(':');
}
