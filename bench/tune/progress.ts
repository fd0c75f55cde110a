/**
 * What the tuner is doing: a line that lives on a terminal, and a line for each trial that is done.
 *
 * Must not know how candidates are judged.
 */
import { harmless } from '../../src/cli/text.js';
import { latencyText, rateText } from '../figures.js';
import type { Progress } from '../measure.js';
import type { RowHead } from '../row.js';
import type { Screen } from '../table.js';
import { textOf } from './candidate.js';
import type { Step, Trial } from './search.js';
import { rateOf } from './yaml.js';

const redrawMs = 100;

export class TuneLine {
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #startedAt: number;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #step: Step | undefined;
  #stepAt = 0;
  /** Milliseconds of the trials that are done; the first one, which is the longest, counts only while it is alone. */
  readonly #durations: number[] = [];

  constructor(screen: Screen, now: () => number) {
    this.#screen = screen;
    this.#now = now;
    this.#startedAt = now();
  }

  begin(step: Step): void {
    this.#step = step;
    this.#stepAt = this.#now();
    this.#drawnAt = Number.NEGATIVE_INFINITY;
    this.#draw('starting a gateway');
  }

  show({ mode, load }: RowHead, { stage, rps, latencyUs }: Progress): void {
    const asked = mode === 'closed' ? stage : `asked for ${rateText(load)}/s, ${stage}`;
    this.#draw(`${asked}: ${rateText(rps)} req/s, ${latencyText(latencyUs)}`);
  }

  done(trial: Trial): void {
    this.#durations.push(this.#now() - this.#stepAt);
    this.clear();
    const { number } = this.#step!;
    const words = `${rateOf(trial)} req/s${trial.note === '' ? '' : ` (${trial.note})`}`;
    this.#screen.write(harmless(`trial ${number}: ${textOf(trial.candidate)}: ${words}`).concat('\n'));
  }

  clear(): void {
    if (this.#screen.isTTY) this.#screen.write('\r\x1b[2K');
  }

  #draw(words: string): void {
    const step = this.#step;
    if (!this.#screen.isTTY || step === undefined || this.#now() - this.#drawnAt < redrawMs) return;
    this.#drawnAt = this.#now();
    const times = `${clock(this.#now() - this.#startedAt)}${this.#leftText(step)}`;
    const line = `${step.number}/${step.expected} ${times}  ${textOf(step.candidate)}  ${words}`;
    this.#screen.write(`\r\x1b[2K${line.slice(0, (this.#screen.columns ?? 80) - 1)}`);
  }

  #leftText({ number, expected }: Step): string {
    const known = this.#durations.length > 1 ? this.#durations.slice(1) : this.#durations;
    if (known.length === 0) return '';
    const meanMs = known.reduce((sum, ms) => sum + ms, 0) / known.length;
    const leftMs = meanMs * (expected - number + 1) - (this.#now() - this.#stepAt);
    return `, about ${clock(Math.max(0, leftMs))} left`;
  }
}

/** `1:05` */
function clock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
