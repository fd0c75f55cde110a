/**
 * Which URLs a source may ask, and at which of their addresses.
 *
 * A name is looked up by the connection itself and the answer judged in between, so the address that was judged is the
 * address that is connected to: a name that answers differently the second time (DNS rebinding) gains nothing. A host that
 * is an address already never meets a look-up and is judged beforehand.
 *
 * The operator's own words count: an address written as the host of the source's url, or in `allow_hosts`, is allowed on
 * that port, although nothing that the other side says can lead there otherwise.
 *
 * Must not know requests and answers.
 */
import { isIP, type LookupFunction } from 'node:net';
import { Refusal } from '../refusal.js';
import { type AddressRange, isAllowed, isAllowedWhenNamed, type Judgement, judge, rangesOf } from './addresses.js';

export interface ReachOptions {
  /** The source's own url; only its host and port are looked at, so any scheme will do. */
  readonly origin: URL;
  readonly allowHttp: boolean;
  /** Ranges like `10.0.0.0/8`. A metadata address must stand there by itself. */
  readonly allowPrivate: readonly string[];
  /** `name` or `name:port`, named by the operator like the host of `origin`. */
  readonly allowHosts: readonly string[];
  readonly resolve: (host: string) => Promise<readonly string[]>;
}

export class Reach {
  readonly #options: ReachOptions;
  readonly #ranges: readonly AddressRange[];

  /** @throws INVALID_ARGUMENT when a range is not one */
  constructor(options: ReachOptions) {
    this.#options = options;
    this.#ranges = rangesOf(options.allowPrivate);
  }

  /** @throws Refusal `address` for a scheme or an address that may not be used */
  check(url: URL): void {
    if (url.protocol !== 'https:' && url.protocol !== 'http:') {
      throw new Refusal('address', `'${url.protocol}' is not a scheme to fetch from, expected https`);
    }
    if (url.username !== '' || url.password !== '') {
      throw new Refusal('address', `${url.host}: credentials do not belong into a URL`);
    }
    const host = hostOf(url);
    if (isIP(host) !== 0) this.#admit(url, host, [host]);
    if (url.protocol === 'http:' && !this.#options.allowHttp && !this.#isOwnLoopback(url)) {
      throw new Refusal('address', `${url.host}: plain http needs allow_http for this source`);
    }
  }

  /** For `net.connect`: gives only addresses that may be connected to. */
  lookup(url: URL): LookupFunction {
    return (host, options, answer) => {
      this.#options.resolve(host).then(
        (addresses) => {
          try {
            const families = this.#admit(url, host, addresses).map((address) => ({ address, family: isIP(address) }));
            if (options.all === true) answer(null, families);
            else answer(null, families[0]!.address, families[0]!.family);
          } catch (refusal) {
            answer(refusal as Error, '');
          }
        },
        (error) => answer(error, ''),
      );
    };
  }

  /** Those of `addresses` that may be used; at least one. */
  #admit(url: URL, host: string, addresses: readonly string[]): readonly string[] {
    const judged = addresses.map((address) => ({ address, judgement: judge(address) }));
    const admitted = judged.filter(({ judgement }) => this.#isAdmitted(url, host, judgement));
    if (admitted.length > 0) return admitted.map(({ address }) => address);
    const kinds = [...new Set(judged.map(({ judgement }) => judgement.kind))].join(', ') || 'no';
    throw new Refusal('address', `${host} has ${kinds} addresses only, which this source may not connect to`);
  }

  #isAdmitted(url: URL, host: string, judgement: Judgement): boolean {
    if (isAllowed(judgement, this.#ranges)) return true;
    if (!this.#isNamed(url)) return false;
    return isIP(host) === 0
      ? isLocalhost(host) && judgement.kind === 'loopback' && !judgement.isEmbedded
      : isAllowedWhenNamed(judgement);
  }

  #isOwnLoopback(url: URL): boolean {
    const host = hostOf(url);
    if (!this.#isNamed(url)) return false;
    return isIP(host) === 0 ? isLocalhost(host) : judge(host).kind === 'loopback';
  }

  #isNamed(url: URL): boolean {
    const { origin, allowHosts } = this.#options;
    return url.host === origin.host || allowHosts.includes(url.host) || allowHosts.includes(url.hostname);
  }
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function isLocalhost(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost');
}

/** Where another side sends us. @throws Refusal `redirect` when it is no URL, or leads from https to http */
export function redirected(from: URL, place: string): URL {
  if (!URL.canParse(place, from.href)) throw new Refusal('redirect', `${from.host} redirects to what is not a URL`);
  const next = new URL(place, from);
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    throw new Refusal('redirect', `${from.host} redirects from https to http`);
  }
  return next;
}
