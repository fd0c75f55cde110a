/**
 * What was asked of several processes, and who has still to answer.
 *
 *   wait(what, members) ─▶ answered(member, what) … by all that still live ─▶ resolved
 *                          └▶ the first error ─────────────────────────────▶ rejected
 *
 * The same asked again while it is open settles both: the later question stands for the earlier one.
 *
 * Must not know processes, or how they are asked.
 */
import type { GatewayError } from '../core/errors.js';

interface Waiting<Member> {
  readonly members: Set<Member>;
  readonly resolve: () => void;
  readonly reject: (error: GatewayError) => void;
}

export class RollCall<Member> {
  /** By what was asked: `open model@1`, `drain model@1`, `route 7`, `pong`. */
  readonly #waiting = new Map<string, Waiting<Member>>();

  /** Resolves when all have answered or are gone; at once when there are none. @throws the first error that one answers */
  wait(what: string, members: readonly Member[]): Promise<void> {
    if (members.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const earlier = this.#waiting.get(what);
      this.#waiting.set(what, {
        members: new Set(members),
        resolve: () => {
          earlier?.resolve();
          resolve();
        },
        reject: (error) => {
          earlier?.reject(error);
          reject(error);
        },
      });
    });
  }

  answered(member: Member, what: string, error?: GatewayError): void {
    const waiting = this.#waiting.get(what);
    if (waiting === undefined) return;
    waiting.members.delete(member);
    if (error === undefined && waiting.members.size > 0) return;
    this.#waiting.delete(what);
    if (error === undefined) waiting.resolve();
    else waiting.reject(error);
  }

  /** It is gone and answers nothing any more. */
  gone(member: Member): void {
    for (const [what, { members }] of [...this.#waiting]) if (members.has(member)) this.answered(member, what);
  }
}
