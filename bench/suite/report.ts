/**
 * bench/RESULTS.md, made from the stored results.
 *
 * Must not know how anything was measured.
 */
import { curveText } from './curve.js';
import { judge } from './promises.js';
import type { Results } from './results.js';
import { cellText, floorsText, promisesText, rowsTable, scenarioSections, scenariosText, table } from './tables.js';
import { featureVerdict } from './variants.js';

export function reportOf(results: Results): string {
  const { machine, settings, cells, floors, variants, scenarios, curve } = results;
  const parts = [
    '# What was measured',
    'Written by `npm run bench -- --write`; do not edit. Numbers are medians with (min–max) over the rounds. Ratios are taken round by round against another server of the same round, so they hold better than the numbers.',
    `${settings.rounds} rounds of ${settings.seconds} s for each server, taking turns; load by ${settings.generator} on the same machine. What the host of the machine disturbed, by taking more than 1 % of the time of its cores, is done again, up to four times.`,
    table(['', ''], Object.entries(machine)),
  ];
  if (cells.length > 0) {
    parts.push('## What was promised', promisesText(judge(cells)), '## Cells', serversText, ...cells.map(cellText));
  }
  if (curve !== undefined) {
    parts.push('## Latency by load', curveWords, '![p99 by requests per second](curve.svg)', curveText(curve));
  }
  if (floors.length > 0) parts.push('## The bare runtime, one thread', floorsText(floors));
  for (const name of new Set(variants.map((variant) => variant.table))) {
    parts.push(variantTitles[name] ?? `## ${name}`);
    for (const { table: of, cell, rows } of variants) {
      if (of === name) parts.push(`### ${cell}`, rowsTable(rows, Object.keys(rows[0]?.ratios ?? {})[0] ?? ''));
    }
    const verdict = name === 'features' ? featureVerdict(variants) : undefined;
    if (verdict !== undefined) parts.push(minimalText, verdict.text);
  }
  if (scenarios.length > 0) parts.push('## Scenarios', scenariosText(scenarios), ...scenarioSections(scenarios));
  return `${parts.join('\n\n')}\n`;
}

const serversText =
  '`plain` is node:http with onnxruntime-node, `fastify` the same behind fastify, `cluster` two processes of that, `floor-echo` the gateway’s HTTP engine and codec without a model, `floor-raw` a bare loop of onnxruntime-node with the settings it has by itself, `floor-ort` as many loops as the gateway has threads, with the gateway’s binding and settings. In cells of other protocols `plain` still speaks JSON.';

const curveWords =
  'Independent arrivals at a rate (open loop): latency counts from the time a request was due. The generator shares the machine.';

const minimalText =
  '`floor-minimal` is the gateway’s HTTP engine, codec, queue and lanes put together without anything else: no table of URLs, request ids, deadlines, routing, events, metrics, statistics, second door or supervision.';

const variantTitles: Readonly<Record<string, string>> = {
  processes: '## How many gateway processes',
  features: '## What features cost',
};
