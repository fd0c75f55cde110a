/**
 * The life of a connection: greeted in time, kept awake, aged, and led to its end without losing a call.
 *
 *   open ─▶ GOAWAY for the highest stream, PING ─▶ its answer, or a second ─▶ GOAWAY for the last stream ─▶ no stream ─▶ closed
 *     └▶ silent, stalled, or beyond its grace ─▶ destroyed
 *
 * The first GOAWAY stops the peer from opening streams; those that were on their way when it was sent have arrived when the
 * ping is answered, so the second refuses none that the peer believes in (RFC 9113 §6.8).
 *
 * Must not know frames or sockets. Time is given whenever it is to look.
 */

/** What is needed of a connection. */
export interface Living {
  readonly size: number;
  readonly isGreeted: boolean;
  readonly isWaiting: boolean;
  readonly framesRead: number;
  readonly unsent: number;
  readonly sent: number;
  readonly pingAcks: number;
  takeHeard(): boolean;
  ping(): void;
  announceEnd(): void;
  refuseNew(): void;
  end(): void;
  destroy(): void;
  dropStalled(now: number, stallMs: number): void;
}

export interface LifeOptions {
  /** Varied by the caller, so that connections do not all end together. */
  readonly ageMs: number;
  /** For open streams, when a connection has become too old. */
  readonly graceMs: number;
  /** Without a stream. */
  readonly idleMs: number;
  /** Silence before a ping, and the time to answer it. */
  readonly pingMs: number;
  readonly pingTimeoutMs: number;
  /** For the first words of a peer, and for the rest of a frame. */
  readonly wordMs: number;
  /** For a peer to take anything of what it asked for. */
  readonly stallMs: number;
}

/** A ping that is not answered holds up the end of a connection for so long. */
const announceMs = 1000;
/** A peer that does not hang up, after we have, is cut off. */
const hangUpMs = 1000;

export class Life {
  readonly #connection: Living;
  readonly #options: LifeOptions;
  readonly #bornAt: number;
  /** When the last byte came, as far as was looked. */
  #heardAt: number;
  #usedAt: number;
  #takenAt: number;
  #sent = 0;
  #pingedAt = 0;
  /** Since when it has been looked at a frame that is not whole. */
  #waitingSince = 0;
  #framesRead = 0;
  #announcedAt = 0;
  #acksAtEnd = 0;
  #isRefusing = false;
  #endedAt = 0;
  #graceEndsAt = Infinity;

  constructor(connection: Living, options: LifeOptions, now: number) {
    this.#connection = connection;
    this.#options = options;
    this.#bornAt = now;
    this.#heardAt = now;
    this.#usedAt = now;
    this.#takenAt = now;
  }

  get isEnding(): boolean {
    return this.#announcedAt !== 0;
  }

  /** Once in a while. */
  look(now: number): void {
    const connection = this.#connection;
    const { ageMs, graceMs, idleMs, stallMs } = this.#options;
    if (connection.size > 0) this.#usedAt = now;
    const { sent } = connection;
    if (connection.unsent === 0 || sent !== this.#sent) this.#takenAt = now;
    this.#sent = sent;
    if (this.#isLost(now)) return connection.destroy();
    connection.dropStalled(now, stallMs);
    this.#keepAwake(now);
    if (now - this.#bornAt >= ageMs || now - this.#usedAt >= idleMs) this.beginEnd(now, graceMs);
    this.step(now);
  }

  #isLost(now: number): boolean {
    const connection = this.#connection;
    const { pingTimeoutMs, wordMs, stallMs } = this.#options;
    if (connection.takeHeard()) {
      this.#heardAt = now;
      this.#pingedAt = 0;
    }
    const { framesRead } = connection;
    if (!connection.isWaiting || framesRead !== this.#framesRead) this.#waitingSince = 0;
    else if (this.#waitingSince === 0) this.#waitingSince = now;
    this.#framesRead = framesRead;
    return (
      (!connection.isGreeted && now - this.#bornAt >= wordMs) ||
      (this.#waitingSince !== 0 && now - this.#waitingSince >= wordMs) ||
      (this.#pingedAt !== 0 && now - this.#pingedAt >= pingTimeoutMs) ||
      now - this.#takenAt >= stallMs ||
      (this.#endedAt !== 0 && now - this.#endedAt >= hangUpMs) ||
      now >= this.#graceEndsAt
    );
  }

  #keepAwake(now: number): void {
    if (this.#pingedAt !== 0 || now - this.#heardAt < this.#options.pingMs) return;
    this.#pingedAt = now;
    this.#connection.ping();
  }

  /** Lets open streams end within the grace, and no new ones begin. */
  beginEnd(now: number, graceMs: number): void {
    this.#graceEndsAt = Math.min(this.#graceEndsAt, now + graceMs);
    if (this.#announcedAt !== 0) return;
    this.#announcedAt = now;
    this.#acksAtEnd = this.#connection.pingAcks;
    this.#connection.announceEnd();
    this.#connection.ping();
  }

  /** A stream has ended, or a ping was answered. */
  step(now: number): void {
    if (this.#announcedAt === 0) return;
    const connection = this.#connection;
    const isKnown = connection.pingAcks > this.#acksAtEnd || now - this.#announcedAt >= announceMs;
    if (isKnown && !this.#isRefusing) {
      this.#isRefusing = true;
      connection.refuseNew();
    }
    if (!this.#isRefusing || connection.size > 0 || this.#endedAt !== 0) return;
    // What was answered last must have left: the peer is slow, not wrong.
    this.#endedAt = now;
    connection.end();
  }
}
