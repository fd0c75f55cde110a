/**
 * Who may come in: the order of the checks in front of every request, and what is said of those it turns away.
 *
 *   page of ours? ─▶ too many wrong tokens? ─▶ which token? ─▶ role enough?
 *        403               429                    401              403
 *
 * Every refusal is told to the root, which counts and logs it: never with the token, of an address that is shut out only when
 * that begins, and with a word whether it is worth a line in the log.
 *
 * A misconfigured scraper never empties its bucket of wrong tokens; whoever guesses does at once, and is then not even
 * compared.
 *
 * Must not know sockets or what is asked for.
 */
import { GatewayError } from '../core/errors.js';
import { Attempts } from './attempts.js';
import { isAtLeast, type Keyring, type Principal, type Role } from './auth.js';
import { foreignOrigin } from './origin.js';

export interface RequestLine {
  readonly peer: string;
  readonly method: string;
  /** At most 200 characters of it. */
  readonly path: string;
}

export interface RefusedCaller extends RequestLine {
  readonly kind: 'admin_unauthenticated' | 'admin_forbidden' | 'admin_foreign_origin' | 'admin_throttled';
  /** Whose role is too low; empty = nobody known. */
  readonly caller: string;
  /** So many came from this address that a line for each would fill the log. */
  readonly isOneOfMany: boolean;
}

const wrongTokens = { burst: 20, refillMs: 3000 };
const logLines = { burst: 10, refillMs: 10_000 };

export interface Entrance {
  readonly keyring: Keyring;
  /** Let /metrics be read without a token. */
  readonly isMetricsOpen: boolean;
  readonly now: () => number;
  readonly onRefused: (refused: RefusedCaller) => void;
}

export interface Caller {
  readonly method: string;
  readonly path: string;
  readonly peer: string;
  readonly header: (name: string) => string | undefined;
  /** What it takes to ask this. */
  readonly role: Role | 'open';
}

export interface Refused {
  readonly error: GatewayError;
  readonly headers: readonly (readonly [string, string])[];
}

const nobody: Principal = { name: '', role: 'viewer' };

export class Gate {
  readonly #entrance: Entrance;
  readonly #attempts: Attempts;
  readonly #lines: Attempts;

  constructor(entrance: Entrance) {
    this.#entrance = entrance;
    const { now } = entrance;
    this.#attempts = new Attempts({ ...wrongTokens, now });
    this.#lines = new Attempts({ ...logLines, now });
  }

  /** Nobody has to present a token. */
  get isOpen(): boolean {
    return this.#entrance.keyring.isOpen;
  }

  pass(caller: Caller): Principal | Refused {
    const { role, path, header } = caller;
    if (role === 'open' || (path === '/metrics' && this.#entrance.isMetricsOpen)) return nobody;
    const foreign = foreignOrigin(header, this.isOpen);
    if (foreign !== undefined) return this.#forbid(caller, 'admin_foreign_origin', foreign);
    const known = this.#identify(caller);
    if ('error' in known || isAtLeast(known.role, role)) return known;
    const needed = `this needs the role ${role}, and the token has the role ${known.role}`;
    return this.#forbid(caller, 'admin_forbidden', needed, known.name);
  }

  #identify(caller: Caller): Principal | Refused {
    const { keyring } = this.#entrance;
    if (keyring.isOpen) return keyring.find(undefined)!;
    const waitMs = this.#attempts.waitMs(caller.peer);
    if (waitMs > 0) return shutOut(waitMs);
    const authorization = caller.header('authorization');
    const found = keyring.find(authorization);
    if (found !== undefined) return found;
    // Whoever presents nothing does not guess.
    const isLast = authorization !== undefined && this.#attempts.count(caller.peer);
    this.#tell(caller, isLast ? 'admin_throttled' : 'admin_unauthenticated');
    const error = new GatewayError('UNAUTHENTICATED', 'expected "Authorization: Bearer <token>"');
    return { error, headers: [['WWW-Authenticate', 'Bearer realm="sluice"']] };
  }

  #forbid(caller: Caller, kind: RefusedCaller['kind'], message: string, name = ''): Refused {
    this.#tell(caller, kind, name);
    return { error: new GatewayError('PERMISSION_DENIED', message), headers: [] };
  }

  #tell(caller: Caller, kind: RefusedCaller['kind'], name = ''): void {
    const isOneOfMany = !this.takeLine(caller.peer);
    this.#entrance.onRefused({ kind, ...lineOf(caller), caller: name, isOneOfMany });
  }

  /** Whether one more line about this address may be written: nobody fills the log. */
  takeLine(peer: string): boolean {
    if (this.#lines.waitMs(peer) > 0) return false;
    this.#lines.count(peer);
    return true;
  }
}

/** As a line of the log tells it. */
export function lineOf({ peer, method, path }: Pick<Caller, 'peer' | 'method' | 'path'>): RequestLine {
  return { peer, method: method.slice(0, 20), path: path.slice(0, 200) };
}

function shutOut(waitMs: number): Refused {
  const error = new GatewayError('RESOURCE_EXHAUSTED', 'too many wrong tokens came from this address');
  return { error, headers: [['Retry-After', String(Math.ceil(waitMs / 1000))]] };
}
