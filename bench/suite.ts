/**
 * `npm run bench`: what the gateway promised and what it did, beside the floor and the baselines, in one run.
 *
 *   flags → cells │ variant tables │ scenarios → results → tables, RESULTS.md, gate
 *
 * Exit code 1: something was measured and is not as it must be. 2: it could not be measured.
 *
 * Must not know how anything is measured.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runScenario } from './scenarios/frame.js';
import { scenarios } from './scenarios/list.js';
import { type Cell, cells, chosenCells } from './suite/cells.js';
import { dieTogether } from './suite/children.js';
import { curveText, runCurve } from './suite/curve.js';
import { curveSvg } from './suite/curve-svg.js';
import { benchDirectory, describeMachine } from './suite/machine.js';
import { type Options, readOptions, usage } from './suite/options.js';
import { judge } from './suite/promises.js';
import { reportOf } from './suite/report.js';
import { mergeResults, type Results, readResults, writeResults } from './suite/results.js';
import { type Plan, runCells } from './suite/run-cells.js';
import { cellText, floorsText, gateText, promisesText, rowsTable, table } from './suite/tables.js';
import { featureVerdict, runVariants, type VariantTable, variantTables } from './suite/variants.js';
import { hasWrk } from './suite/wrk.js';

interface Work {
  readonly cells: readonly Cell[];
  readonly tables: readonly VariantTable[];
  readonly scenarios: readonly string[];
  /** The curve of latency by load. */
  readonly hasCurve: boolean;
}

/** @throws when a name of `--only` is none of ours */
function chosen({ only, isQuick, isWrite }: Options): Work {
  const prefix = 'scenario:';
  const wanted = only.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  const named = wanted.includes('all') ? scenarios.map(({ name }) => name) : wanted;
  const tables = variantTables.filter(({ name }) => only.includes(name));
  const rest = only.filter(
    (name) => !name.startsWith(prefix) && name !== curve && !tables.some((table) => table.name === name),
  );
  for (const name of named) {
    if (!scenarios.some((scenario) => scenario.name === name)) throw new Error(unknownText(`scenario:${name}`));
  }
  for (const name of rest) if (chosenCells([name], false).length === 0) throw new Error(unknownText(name));
  const cells = only.length > 0 && rest.length === 0 ? [] : chosenCells(rest, isQuick);
  const hasCurve = only.length > 0 ? only.includes(curve) : isWrite;
  return { cells, tables, scenarios: named, hasCurve };
}

const curve = 'curve';

function unknownText(name: string): string {
  const known = [...cells.map((cell) => cell.name), ...variantTables.map((table) => table.name), curve];
  return `--only ${name}: there is no such part. Known: ${[...known, ...scenarios.map((one) => `scenario:${one.name}`)].join(', ')}`;
}

function say(line: string): void {
  clearProgress();
  console.log(line);
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
}

function onProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K  ${text}`);
}

async function main(options: Options): Promise<number> {
  const work = chosen(options);
  const stored = readResults(join(benchDirectory, 'results.json'));
  if (options.isGate && stored === undefined)
    throw new Error('--gate: there are no stored results; store some with --write');
  if (!hasWrk()) say('wrk is not installed: autocannon makes the load, which lowers the ratios');
  const directory = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const { rounds, seconds, against, againstGrpc } = options;
  const plan: Plan = { rounds, seconds, directory, against, againstGrpc, say, onProgress };
  const found = await measureAll(work, plan, options);
  clearProgress();
  const isGood = printVerdicts(found, options.isGate ? stored : undefined);
  if (options.isWrite) {
    const { failures: _, ...results } = found;
    const merged = mergeResults(stored, results);
    writeResults(join(benchDirectory, 'results.json'), merged);
    writeFileSync(join(benchDirectory, 'RESULTS.md'), reportOf(merged));
    if (found.curve !== undefined) writeFileSync(join(benchDirectory, 'curve.svg'), curveSvg(found.curve));
    say(`written: bench/RESULTS.md, bench/results.json${found.curve === undefined ? '' : ', bench/curve.svg'}`);
  }
  return isGood ? 0 : 1;
}

async function measureAll(work: Work, plan: Plan, { isQuick }: Options): Promise<Measured> {
  const { cells: measured, floors, failures } = await runCells(work.cells, plan);
  for (const cell of measured) say(`\n${cellText(cell)}`);
  if (floors.length > 0) say(`\n### The bare runtime, one thread\n\n${floorsText(floors)}`);
  const drawn = work.hasCurve ? await runCurve(plan) : undefined;
  if (drawn !== undefined) say(`\n### Latency by load\n\n${curveText(drawn)}`);
  const variants: Results['variants'] = [];
  for (const one of work.tables) variants.push(...(await runVariants(one, plan)));
  for (const { table: of, cell, rows } of variants) {
    say(`\n### ${of}: ${cell}\n\n${rowsTable(rows, Object.keys(rows[0]?.ratios ?? {})[0] ?? '')}`);
  }
  const cost = featureVerdict(variants);
  if (cost !== undefined) say(`\n${cost.text}`);
  const judged: Results['scenarios'] = [];
  for (const scenario of scenarios.filter(({ name }) => work.scenarios.includes(name))) {
    say(`\nscenario ${scenario.name}: ${scenario.promise}`);
    const verdict = await runScenario(scenario, { directory: plan.directory, isQuick, say, onProgress });
    say(`  ${verdict.isMet ? 'pass' : 'FAIL'}: ${verdict.found}`);
    if (verdict.table !== undefined) say(`\n${table(verdict.table.head, verdict.table.lines)}`);
    judged.push({ name: scenario.name, promise: scenario.promise, ...verdict });
  }
  return {
    machine: describeMachine(new Date()),
    settings: { rounds: plan.rounds, seconds: plan.seconds, generator: hasWrk() ? 'wrk' : 'autocannon' },
    cells: measured,
    floors,
    variants,
    scenarios: judged,
    curve: drawn,
    failures,
  };
}

type Measured = Results & { readonly failures: readonly string[] };

/** @returns whether every cell was measured without errors, every scenario passed and the gate, if asked for, is passed */
function printVerdicts(found: Measured, stored: Results | undefined): boolean {
  const judged = judge(found.cells);
  if (judged.length > 0) say(`\n### What was promised\n\n${promisesText(judged)}`);
  for (const failure of found.failures) say(`NOT MEASURED ${failure}`);
  const broken = found.cells.flatMap(({ name, rows }) =>
    rows
      .filter(({ server, errors }) => server === 'sluice' && errors > 0)
      .map(({ errors }) => `${name}: ${errors} requests failed`),
  );
  for (const line of broken) say(line);
  const gate = stored === undefined ? undefined : gateText(stored, found.cells);
  if (gate !== undefined) say(`\n${gate.text}`);
  return (
    found.failures.length + broken.length === 0 &&
    gate?.isPassed !== false &&
    found.scenarios.every(({ isMet }) => isMet)
  );
}

dieTogether();
try {
  const options = readOptions(process.argv.slice(2));
  if (options.isHelp) console.log(usage);
  process.exit(options.isHelp ? 0 : await main(options));
} catch (error) {
  clearProgress();
  console.error(`bench: ${error instanceof Error ? error.message : error}`);
  process.exit(2);
}
