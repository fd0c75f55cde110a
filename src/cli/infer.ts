/**
 * `sluice infer`: sends one V2 request and shows the answer for people.
 *
 * The file is sent as it is, so that what is wrong with it is said by the server, as any client would hear it. Class labels
 * are those that the model's metadata announces in the property `labels`.
 *
 * Must not know how an answer is made.
 */
import { readFileSync } from 'node:fs';
import { ask } from './ask.js';
import { Exit } from './exit.js';
import { harmless, table } from './text.js';

export interface InferOptions {
  readonly url: string;
  /** `-` = standard input. */
  readonly input: string;
  readonly version: string | undefined;
  readonly token: string | undefined;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

interface Output {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

const rowsShown = 10;
const columnsShown = 12;
const classesShown = 5;

export async function showInference(model: string, options: InferOptions): Promise<string> {
  const { token, now } = options;
  const body = readInput(options.input);
  const address = `${options.url.replace(/\/+$/, '')}/v2/models/${encodeURIComponent(model)}`;
  const versionPart = (version: string) => `/versions/${encodeURIComponent(version)}`;
  const asked = options.version === undefined ? '' : versionPart(options.version);

  // Opens the connection, so that the time shown is that of the request. A failure is told by the request itself.
  await ask({ url: `${options.url.replace(/\/+$/, '')}/v2/health/live`, of: 'the gateway' }).catch(() => {});
  const startedAt = now();
  const url = `${address}${asked}/infer`;
  const reply = (await ask({ url, method: 'POST', body, token, of: 'the gateway' })) as Record<string, unknown>;
  const tookMs = now() - startedAt;

  const { model_version: version, outputs } = reply;
  if (!Array.isArray(outputs)) throw new Exit(1, `what answers at ${options.url} does not speak the V2 protocol`);
  const labels = await readLabels(`${address}${typeof version === 'string' ? versionPart(version) : ''}`, token);
  const head = `${model} version ${String(version ?? '?')} answered in ${tookMs.toFixed(1)} ms`;
  return [head, ...(outputs as Output[]).map((output) => showOutput(output, labels))]
    .map((part) => `${part}\n`)
    .join('');
}

function readInput(input: string): string {
  try {
    return readFileSync(input === '-' ? 0 : input, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const got = code === 'ENOENT' ? 'it does not exist' : code === 'EISDIR' ? 'it is a folder' : String(code);
    throw new Exit(2, `expected a file with a V2 request in JSON, got ${input}: ${got}`);
  }
}

/** An answer without labels is still an answer, so a failure here is not one of the command. */
async function readLabels(url: string, token: string | undefined): Promise<readonly string[]> {
  try {
    const { properties } = (await ask({ url, token, of: 'the gateway' })) as { properties?: { labels?: unknown } };
    return parseLabels(properties?.labels);
  } catch {
    return [];
  }
}

/** A JSON array, or words between commas. */
function parseLabels(text: unknown): readonly string[] {
  if (typeof text !== 'string' || text === '') return [];
  if (!text.startsWith('[')) return text.split(',').map((label) => label.trim());
  const labels: unknown = JSON.parse(text);
  return Array.isArray(labels) ? labels.map(String) : [];
}

function showOutput(output: Output, labels: readonly string[]): string {
  const { name, datatype, shape, data } = output;
  const title = `\n${harmless(`${name}  ${datatype}[${shape.join(',')}]`)}`;
  if (!Array.isArray(data)) return `${title}\n  (no JSON data)`;
  const columns = shape.length > 1 ? shape.slice(1).reduce((product, dimension) => product * dimension, 1) : 1;
  const rows = columns === 0 ? 0 : data.length / columns;
  const lines: string[][] = [];
  for (let row = 0; row < Math.min(rows, rowsShown); row++) {
    lines.push(lineOf(data.slice(row * columns, (row + 1) * columns), classLabels(output, columns, labels)));
  }
  if (rows > rowsShown) lines.push([`… ${rows - rowsShown} more rows`]);
  const text = lines.length === 0 ? '(empty)\n' : table(lines);
  return `${title}\n${text.replace(/^/gm, '  ').trimEnd()}`;
}

/** The labels, when this output has one value for each of them. */
function classLabels({ datatype }: Output, columns: number, labels: readonly string[]): readonly string[] {
  return columns > 1 && columns === labels.length && /^(FP|BF)/.test(datatype) ? labels : [];
}

function lineOf(values: readonly unknown[], labels: readonly string[]): string[] {
  if (labels.length > 0) return rankedClasses(values, labels);
  const cells = values.slice(0, columnsShown).map(cellOf);
  return values.length > columnsShown ? [...cells, `… ${values.length - columnsShown} more`] : cells;
}

/** The likeliest classes, likeliest first. */
function rankedClasses(values: readonly unknown[], labels: readonly string[]): string[] {
  const scoreOf = (index: number) => (typeof values[index] === 'number' ? values[index] : Number.NEGATIVE_INFINITY);
  const ranked = Array.from(values.keys()).sort((a, b) => scoreOf(b) - scoreOf(a) || a - b);
  return ranked.slice(0, classesShown).map((index) => `${labels[index]} ${cellOf(values[index])}`);
}

function cellOf(value: unknown): string {
  if (typeof value === 'number' && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  if (typeof value === 'string') return value.length > 60 ? `${value.slice(0, 60)}…` : value;
  return String(value);
}
