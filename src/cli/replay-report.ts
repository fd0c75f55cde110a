/**
 * What a replay has found, as text for a terminal, as markdown for a review, and as JUnit for what runs tests.
 *
 * Must not know how it was found.
 */
import type { Figures, Judged } from './replay-conditions.js';
import type { Example, OutputTally, ReplayTally } from './replay-tally.js';
import { harmless, table } from './text.js';

export interface ReplayReport {
  readonly model: string;
  readonly candidate: string;
  /** As it was asked for: `1h`. */
  readonly last: string;
  readonly durationMs: number;
  readonly counts: ReplayTally['counts'];
  readonly figures: Figures;
  readonly loggedLatencyMs: ReplayTally['loggedLatencyMs'];
  readonly outputs: readonly OutputTally[];
  readonly examples: readonly Example[];
  readonly judged: readonly Judged[];
  /** Why it is no replay of all that was asked for; '' = it is. */
  readonly problem: string;
}

type Cells = readonly (readonly string[])[];

function percent(share: number | undefined): string {
  return share === undefined ? '-' : `${Number((100 * share).toFixed(3))} %`;
}

function number(value: number | undefined): string {
  return value === undefined ? '-' : String(Number(value.toPrecision(4)));
}

function tallied(counts: ReadonlyMap<string, number>): string {
  return Array.from(counts, ([what, times]) => `${times} ${what}`).join(', ');
}

function facts({ counts, figures, loggedLatencyMs, last, problem }: ReplayReport): Cells {
  const { answered, failed, items, errors, passedOver, versions } = counts;
  const by = Array.from(versions, ([version, times]) => `${times} by version ${version}`).join(', ');
  const rows = [
    ['replayed', `${answered} requests of the last ${last} with ${items} items, answered before: ${by || 'none'}`],
    ['agree', percent(figures.agree)],
    ['errors', failed === 0 ? '0' : `${failed} (${percent(figures.error_rate)}): ${tallied(errors)}`],
    [
      'latency ms',
      `p50 ${number(figures.p50_ms)}, p99 ${number(figures.p99_ms)} as seen from here; logged: p50 ${number(loggedLatencyMs.p50)}, p99 ${number(loggedLatencyMs.p99)}`,
    ],
    ['passed over', passedOver.size === 0 ? '0' : tallied(passedOver)],
  ];
  return problem === '' ? rows : [...rows, ['partial', problem]];
}

const outputHead = ['OUTPUT', 'ITEMS', 'AGREE', 'MATCH', 'MAX_ABS', 'MEAN_ABS', 'SHAPE_DIFFERS'];

function outputRows({ outputs }: ReplayReport): Cells {
  return outputs.map(({ output, items, agreed, matched, maxAbs, meanAbs, shapeMismatches }) => [
    output,
    String(items),
    percent(agreed / items),
    percent(matched / items),
    number(maxAbs),
    number(meanAbs),
    String(shapeMismatches),
  ]);
}

const exampleHead = ['WORST REQUEST', 'ITEM', 'OUTPUT', 'LOGGED', 'CANDIDATE', 'MAX_ABS'];

function exampleRows({ examples }: ReplayReport): Cells {
  return examples.map(({ requestId, item, output, version, logged, candidate, maxAbs }) => [
    requestId,
    String(item),
    output,
    `${logged} by ${version}`,
    candidate,
    number(maxAbs),
  ]);
}

function conditionRows({ judged }: ReplayReport): Cells {
  return judged.map(({ condition, isMet, found }) => [isMet ? 'FAILS' : 'passes', condition, found]);
}

function titleOf({ model, candidate }: ReplayReport): string {
  return `${model}: ${candidate} beside what was logged`;
}

const examplesShown = 10;

export function replayText(report: ReplayReport): string {
  const parts = [`${harmless(titleOf(report))}\n`, table(facts(report))];
  if (report.outputs.length > 0) parts.push(table([outputHead, ...outputRows(report)]));
  if (report.examples.length > 0) parts.push(table([exampleHead, ...exampleRows(report).slice(0, examplesShown)]));
  if (report.judged.length > 0) parts.push(table(conditionRows(report)));
  return parts.join('\n');
}

export function replayMarkdown(report: ReplayReport): string {
  const parts = [
    `# ${cell(titleOf(report))}\n`,
    facts(report)
      .map(([name, value]) => `- **${name}**: ${cell(value!)}\n`)
      .join(''),
  ];
  if (report.judged.length > 0) parts.push(grid(['', 'CONDITION', 'FOUND'], conditionRows(report)));
  if (report.outputs.length > 0) parts.push(grid(outputHead, outputRows(report)));
  if (report.examples.length > 0) parts.push(grid(exampleHead, exampleRows(report)));
  return parts.join('\n');
}

function grid(head: readonly string[], rows: Cells): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |\n`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('');
}

/** What came from outside is not markdown. */
function cell(text: string): string {
  return harmless(text).replace(/[\\`*[\]<>|]/g, '\\$&');
}

/** One case for the replay itself, and one for each condition. */
export function replayJunit(report: ReplayReport): string {
  const { model, candidate, judged, problem, durationMs } = report;
  const cases = [
    { name: 'replayed', failure: problem },
    ...judged.map(({ condition, isMet, found }) => ({ name: condition, failure: isMet ? found : '' })),
  ];
  const failures = cases.filter(({ failure }) => failure !== '').length;
  const name = attribute(`replay ${model} ${candidate}`);
  const sums = `tests="${cases.length}" failures="${failures}" errors="0" time="${(durationMs / 1000).toFixed(3)}"`;
  const lines = cases.map(({ name: of, failure }) => {
    const head = `    <testcase classname="${name}" name="${attribute(of)}"`;
    return failure === '' ? `${head}/>` : `${head}><failure message="${attribute(failure)}"/></testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${sums}>`,
    `  <testsuite name="${name}" ${sums}>`,
    ...lines,
    `    <system-out>${attribute(replayText(report)).replaceAll('&#10;', '\n')}</system-out>`,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

const named: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
};

function attribute(text: string): string {
  return (
    text
      .split('\n')
      .map(harmless)
      .join('\n')
      // No document may have these, however they are written.
      .replace(/[\ufffe\uffff]/g, '?')
      .replace(/[&<>"\n]/g, (sign) => named[sign]!)
  );
}
