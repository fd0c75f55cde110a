/**
 * The answer as a piece of configuration, with the numbers it rests on in comments.
 *
 * Only what differs from the configuration in force is written. The text is read back by the configuration's own loader
 * before anybody sees it.
 *
 * Must not know how anything was measured.
 */
import assert from 'node:assert/strict';
import { stringify } from 'yaml';
import { harmless } from '../../src/cli/text.js';
import { loadConfig } from '../../src/config/load.js';
import { latencyText, rateText } from '../figures.js';
import type { Slo } from '../slo.js';
import type { Candidate } from './candidate.js';
import { optionsOf } from './gateways.js';
import type { Outcome, Trial } from './search.js';

export interface AnswerOptions {
  readonly model: string;
  readonly slo: Slo;
  /** As it was typed. */
  readonly command: string;
  /** Machine and versions. */
  readonly machine: string;
  /** Why the search ended early; '' = it did not. */
  readonly cutShort: string;
}

export function answerYaml(outcome: Outcome, options: AnswerOptions): string {
  const { model, cutShort, command, machine } = options;
  const { start, best, trials, isConfirmed } = outcome;
  const settings = differing(start.candidate, best.candidate);
  const remarks = [
    command,
    machine,
    ...(cutShort === '' ? [] : [`PARTIAL: ${cutShort}. This is the best of ${trials.length} trials.`]),
    ...conclusionOf(outcome, options),
    ...(best === start || isConfirmed ? [] : ['There was no final: this may be luck.']),
    '',
    ...trialTable(trials),
  ];
  const body =
    Object.keys(settings).length === 0 ? { model_overrides: {} } : { model_overrides: { [model]: settings } };
  const hint =
    'max_batch_size' in settings ? ['', 'With max_batch_size set, a request of more rows than that is refused.'] : [];
  const text = `${[...remarks, ...hint].map(commentOf).join('')}${stringify(body)}`;
  const { config } = loadConfig({ file: { name: 'the tuned configuration', text } });
  assert.deepEqual({ ...config.model_overrides[model] }, settings);
  return text;
}

function commentOf(line: string): string {
  return `${`# ${harmless(line)}`.trimEnd()}\n`;
}

function differing(start: Candidate, best: Candidate): Record<string, number> {
  const before = optionsOf(start);
  return Object.fromEntries(Object.entries(optionsOf(best)).filter(([name, value]) => before[name] !== value));
}

/** What the search comes to, in sentences. */
export function conclusionOf(
  { start, best }: Outcome,
  { slo, cutShort }: Pick<AnswerOptions, 'slo' | 'cutShort'>,
): string[] {
  const promise = `p${slo.percent} ≤ ${latencyText(slo.limitUs)}`;
  const kept = `${promise} is kept up to ${rateText(best.rate)} requests per second`;
  if (best === start) {
    const rest = cutShort === '' ? 'nothing has to be set' : 'nothing better was found so far';
    return [`${kept}, by what is in force already: ${rest}.`];
  }
  if (start.rate === undefined) return [`${kept}; by what is in force it is kept at none.`];
  const gain = Math.round((best.rate! / start.rate - 1) * 100);
  return [`${kept}; by what is in force, up to ${rateText(start.rate)} (+${gain} %).`];
}

const head = ['instances', 'intra_op_threads', 'max_batch_size', 'max_queue_delay_us', 'req/s', ''];

function trialTable(trials: readonly Trial[]): string[] {
  const rows = [head, ...trials.map(cellsOf)];
  const widths = head.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  return rows.map((row) =>
    row.map((cell, at) => (at === head.length - 1 ? cell : cell.padStart(widths[at]!))).join('  '),
  );
}

function cellsOf(trial: Trial): string[] {
  const { instances, intraOpThreads, rowsMax, delayUs } = trial.candidate;
  const isBatched = rowsMax > 0;
  const sizes = [String(instances), String(intraOpThreads), isBatched ? String(rowsMax) : 'none'];
  return [...sizes, isBatched ? String(delayUs) : '–', rateOf(trial), trial.note];
}

/** `< 2,310` = it was not asked for less, because others can do that much. */
export function rateOf({ rate, floorRate }: Trial): string {
  if (rate !== undefined) return rateText(rate);
  return floorRate === undefined ? 'none' : `< ${rateText(floorRate)}`;
}
