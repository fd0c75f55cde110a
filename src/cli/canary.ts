/**
 * A canary as text: where it stands, why, and what its last look saw.
 *
 * Must not know how it is judged.
 */
import type { CanaryDocument } from '../control/route-document.js';
import type { CanaryNumbers } from '../monitor/canary.js';
import { numberText } from './experiment.js';
import { harmless, table } from './text.js';

export function canaryText(canary: CanaryDocument): string {
  const { model, variant, candidate, status, reason, place, steps, percent, last_look: look } = canary;
  const why = reason === '' ? '' : `: ${harmless(reason)}`;
  const who = candidate === '' ? '' : ` (${harmless(candidate)})`;
  const head = `${harmless(model)}: ${harmless(variant)}${who} at ${percent} %, step ${place} of ${steps.length}, ${status}${why}\n`;
  if (look === null) return `${head}not looked at yet\n`;
  return `${head}looked at ${look.at}: ${look.reasons.map(harmless).join('; ')}\n\n${numbersText(look.numbers)}`;
}

function numbersText({ champion_keys, candidate_keys, srm, circuit, guardrails }: CanaryNumbers): string {
  const rows = guardrails.map((one) => [
    one.metric,
    numberText(one.champion),
    numberText(one.candidate),
    numberText(one.difference),
    one.low === null ? '-' : `${numberText(one.low)} … ${numberText(one.high)}`,
    String(one.margin),
    one.verdict,
  ]);
  const lines = [
    `keys: champion ${champion_keys}, candidate ${candidate_keys} (sample ratio p ${numberText(srm.p_seq)})`,
    `last interval: candidate failed ${circuit.faults} of ${circuit.requests}, champion ${circuit.reference_faults} of ${circuit.reference_requests}`,
  ];
  const names = ['GUARDRAIL', 'CHAMPION', 'CANDIDATE', 'BETTER BY', 'INTERVAL', 'MARGIN', 'VERDICT'];
  return `${lines.join('\n')}\n${table([names, ...rows])}`;
}
