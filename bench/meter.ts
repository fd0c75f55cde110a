/**
 * What came back from the server, in windows of time.
 *
 *   load ─▶ answer · error · lag ─▶ [ window that is open ] ─ turn() ─▶ windows, oldest first
 *
 * Answers that were errors are counted by code and have latencies of their own, so that fast refusals never make the
 * latency of successes look better.
 *
 * Must not know protocols or how load is made.
 */
import { Histogram } from './histogram.js';

export interface Window {
  readonly durationMs: number;
  /** Successful answers within the window. */
  readonly answers: number;
  /** Latency of successes. */
  readonly latency: Histogram;
  /** Latency of answers that were errors. */
  readonly refusal: Histogram;
  /** By HTTP status, gRPC code, or what became of the connection. */
  readonly errors: ReadonlyMap<string, number>;
  /** How late requests were sent, by an open loop. */
  readonly lag: Histogram;
}

export class Meter {
  #latency = new Histogram();
  #refusal = new Histogram();
  #lag = new Histogram();
  #errors = new Map<string, number>();
  #answers = 0;
  #openedAt: number;
  /** When the server last said anything. */
  heardAt: number;
  /** Requests without any answer since it was last heard. */
  lost = 0;
  /** Everything the server has answered since the beginning, errors too. */
  heard = 0;

  /** @param now milliseconds */
  constructor(now: number) {
    this.#openedAt = now;
    this.heardAt = now;
  }

  answer(latencyUs: number, now: number): void {
    this.#answers++;
    this.#latency.record(latencyUs);
    this.#hear(now);
  }

  /** A success that came after the time measured: its latency counts, its share of the throughput does not. */
  lateAnswer(latencyUs: number, now: number): void {
    this.#latency.record(latencyUs);
    this.#hear(now);
  }

  /** The server said no. */
  refuse(code: string, latencyUs: number, now: number): void {
    this.#refusal.record(latencyUs);
    this.#count(code, 1);
    this.#hear(now);
  }

  /** The server said nothing. */
  lose(code: string, times = 1): void {
    if (times === 0) return;
    this.#count(code, times);
    this.lost += times;
  }

  sentLate(lagUs: number): void {
    this.#lag.record(lagUs);
  }

  #hear(now: number): void {
    this.heard++;
    this.heardAt = now;
    this.lost = 0;
  }

  #count(code: string, times: number): void {
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + times);
  }

  /** Successes of the window that is open. */
  get answers(): number {
    return this.#answers;
  }

  /** Latencies of the window that is open. */
  get latency(): Histogram {
    return this.#latency;
  }

  /** Closes the open window and opens the next. */
  turn(now: number): Window {
    const window = {
      durationMs: now - this.#openedAt,
      answers: this.#answers,
      latency: this.#latency,
      refusal: this.#refusal,
      errors: this.#errors,
      lag: this.#lag,
    };
    this.#latency = new Histogram();
    this.#refusal = new Histogram();
    this.#lag = new Histogram();
    this.#errors = new Map();
    this.#answers = 0;
    this.#openedAt = now;
    return window;
  }
}

/** Several windows as one. */
export function mergeWindows(windows: readonly Window[]): Window {
  const errors = new Map<string, number>();
  const whole = { latency: new Histogram(), refusal: new Histogram(), lag: new Histogram() };
  let durationMs = 0;
  let answers = 0;
  for (const window of windows) {
    durationMs += window.durationMs;
    answers += window.answers;
    whole.latency.add(window.latency);
    whole.refusal.add(window.refusal);
    whole.lag.add(window.lag);
    for (const [code, count] of window.errors) errors.set(code, (errors.get(code) ?? 0) + count);
  }
  return { durationMs, answers, errors, ...whole };
}

export function rpsOf(window: Window): number {
  return window.durationMs === 0 ? 0 : (window.answers * 1000) / window.durationMs;
}
