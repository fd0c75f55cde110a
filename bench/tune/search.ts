/**
 * The search for the best candidate: along one axis after another, always from the best so far, until nothing is better.
 *
 *   as it is ─▶ threads ─▶ batch ─▶ delay ─▶ threads … ─▶ final: the best and the start in turns ─▶ outcome
 *
 * A candidate is first asked for a little more than the best rate so far, and most are done with after that one question.
 * Of many candidates one will win by luck. So the best has to win a final against what is in force, by medians of rounds in
 * which both take turns; what was found before does not count there.
 *
 * Must not know gateways, load or YAML.
 */
import { type Axis, type Candidate, changed, keyOf } from './candidate.js';

/** What was found out about a candidate. */
export interface Trial {
  readonly candidate: Candidate;
  /** The highest rate that kept the promise; undefined when none did. */
  readonly rate: number | undefined;
  /** It was only asked whether it can do this much; undefined = it was asked for all it can do. */
  readonly floorRate: number | undefined;
  /** What it did at its rate, or why it did nothing. */
  readonly note: string;
}

export interface SearchOptions {
  /** In force without a word in the configuration. */
  readonly start: Candidate;
  readonly axes: readonly Axis[];
  /** Of one request. */
  readonly rows: number;
  /** @param floorRate only a candidate that can do this much is of interest; undefined = everything is */
  readonly attempt: (candidate: Candidate, floorRate: number | undefined) => Promise<Trial>;
  readonly onStep: (step: Step) => void;
  /** The search ends here, with what was found. */
  readonly isOver: () => boolean;
}

export interface Step {
  readonly candidate: Candidate;
  /** From 1. */
  readonly number: number;
  /** How many there will be if nothing better is found any more. */
  readonly expected: number;
}

export interface Outcome {
  readonly start: Trial;
  /** The best that was found; the start itself when nothing beats it. After a final, both are their median rounds. */
  readonly best: Trial;
  /** In the order they were made. */
  readonly trials: readonly Trial[];
  /** There was a final, to its end. */
  readonly isConfirmed: boolean;
}

/** What a candidate has to be better by; less is noise. */
export const gainMin = 0.05;
const trialsMax = 40;
const finalRounds = 3;

export async function search(options: SearchOptions): Promise<Outcome> {
  return new Search(options).run();
}

class Search {
  readonly #options: SearchOptions;
  readonly #trials: Trial[] = [];
  readonly #seen = new Set<string>();
  #best: Trial | undefined;

  constructor(options: SearchOptions) {
    this.#options = options;
  }

  async run(): Promise<Outcome> {
    const start = await this.#try(this.#options.start);
    this.#best = start;
    for (let isBetter = true; isBetter; ) {
      isBetter = false;
      for (const { changes } of this.#options.axes) if (await this.#walk(changes)) isBetter = true;
    }
    const best = this.#best;
    if (best === start || this.#options.isOver()) return this.#outcome(start, best, false);
    return (await this.#final(best.candidate)) ?? this.#outcome(start, best, false);
  }

  /** @returns undefined when it was not played to its end */
  async #final(challenger: Candidate): Promise<Outcome | undefined> {
    const rounds: { readonly own: Trial; readonly start: Trial }[] = [];
    for (let left = finalRounds; left > 0; left--) {
      const own = await this.#try(challenger, { finalsLeft: 2 * left - 1 });
      const start = await this.#try(this.#options.start, { finalsLeft: 2 * left - 2 });
      if (this.#options.isOver()) return undefined;
      rounds.push({ own, start });
    }
    const own = medianOf(rounds.map((round) => round.own));
    const start = medianOf(rounds.map((round) => round.start));
    return this.#outcome(start, isGain(own, start) ? own : start, true);
  }

  #outcome(start: Trial, best: Trial, isConfirmed: boolean): Outcome {
    return { start, best, trials: this.#trials, isConfirmed };
  }

  /** @returns whether something better was found */
  async #walk(changes: Axis['changes']): Promise<boolean> {
    const before = this.#best;
    for (const candidate of this.#untried(changes, before!.candidate)) {
      if (this.#options.isOver() || this.#trials.length >= trialsMax) break;
      const { rate } = this.#best!;
      const trial = await this.#try(
        candidate,
        rate === undefined ? {} : { floorRate: Math.ceil(rate * (1 + gainMin)) },
      );
      if (isGain(trial, this.#best!)) this.#best = trial;
    }
    return this.#best !== before;
  }

  #untried(changes: Axis['changes'], from: Candidate): Candidate[] {
    return changes.flatMap((change) => {
      const candidate = changed(from, change, this.#options.rows);
      return candidate === undefined || this.#seen.has(keyOf(candidate)) ? [] : [candidate];
    });
  }

  async #try(candidate: Candidate, { floorRate, finalsLeft }: TryOptions = {}): Promise<Trial> {
    const number = this.#trials.length + 1;
    this.#seen.add(keyOf(candidate));
    this.#options.onStep({ candidate, number, expected: number + (finalsLeft ?? this.#left(candidate)) });
    const trial = await this.#options.attempt(candidate, floorRate);
    this.#trials.push(trial);
    return trial;
  }

  #left(now: Candidate): number {
    const best = this.#best?.candidate ?? now;
    const left = this.#options.axes.flatMap(({ changes }) => this.#untried(changes, best)).length;
    return best === this.#options.start ? left : left + 2 * finalRounds;
  }
}

interface TryOptions {
  readonly floorRate?: number;
  /** Trials that follow in the final. */
  readonly finalsLeft?: number;
}

function isGain({ rate }: Trial, best: Trial): boolean {
  return rate !== undefined && (best.rate === undefined || rate >= best.rate * (1 + gainMin));
}

/** The round in the middle; one without a rate is below all others. */
function medianOf(rounds: readonly Trial[]): Trial {
  return [...rounds].sort((a, b) => (a.rate ?? 0) - (b.rate ?? 0))[rounds.length >> 1]!;
}
