/**
 * The loss contract, checked: for every incarnation of every gateway the numbers of kept events and those of gaps are 1 to S,
 * each once; and where an incarnation stopped orderly, offered = kept + dropped + sampled out.
 *
 * It reads what is left of segments and what was written down when the others were converted.
 *
 * Must not know Parquet: whether a file holds what its line says is the reader's to check.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rangesOf } from './ranges.js';
import { openSegment, type SegmentEnd, segmentFiles } from './segment-reader.js';

type Gap = readonly [first: number, last: number, count: number, reason: string];

interface Numbers {
  readonly segment: string;
  readonly origin: string;
  readonly events: number;
  readonly ranges: readonly (readonly [number, number])[];
  readonly gaps: readonly Gap[];
  readonly end: SegmentEnd | undefined;
  readonly tornBytes: number;
}

export interface IncarnationReport {
  /** `<gateway>-<incarnation>`. */
  readonly origin: string;
  readonly kept: number;
  readonly dropped: number;
  readonly last: number;
  readonly end: SegmentEnd | undefined;
}

export interface Verification {
  readonly incarnations: readonly IncarnationReport[];
  /** Sentences; none = the contract holds. */
  readonly problems: readonly string[];
}

export function verifyLog(root: string, segments: string): Verification {
  const problems: string[] = [];
  const byOrigin = new Map<string, Map<string, Numbers>>();
  for (const numbers of [...convertedNumbers(root), ...segmentNumbers(segments, problems)]) {
    const known = byOrigin.get(numbers.origin) ?? new Map<string, Numbers>();
    // A segment that is still there after its conversion has been counted.
    if (!known.has(numbers.segment)) known.set(numbers.segment, numbers);
    byOrigin.set(numbers.origin, known);
  }
  const incarnations = [...byOrigin].map(([origin, found]) => reportOf(origin, [...found.values()], problems));
  return { incarnations, problems };
}

function stem(name: string): string {
  return name.replace(/\.[a-z]+$/, '');
}

function* convertedNumbers(root: string): Generator<Numbers> {
  let text: string;
  try {
    text = readFileSync(join(root, '_segments.jsonl'), 'utf8');
  } catch {
    return;
  }
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const { segment, gateway_id, incarnation, events, ranges, gaps, end } = JSON.parse(line);
    const origin = `${gateway_id}-${incarnation}`;
    yield { segment: stem(segment), origin, events, ranges, gaps, end: end ?? undefined, tornBytes: 0 };
  }
}

function* segmentNumbers(directory: string, problems: string[]): Generator<Numbers> {
  const files = segmentFiles(directory);
  for (const file of files) {
    const segment = openSegment(file);
    if (segment === undefined) {
      problems.push(`${file.name} is no segment`);
      continue;
    }
    const isLast = !files.some((other) => other.gatewayId === file.gatewayId && other.number > file.number);
    if (segment.tornBytes > 0 && !(file.isOpen && isLast)) {
      problems.push(`${file.name} has ${segment.tornBytes} bytes that are no records`);
    }
    yield {
      segment: stem(file.name),
      origin: `${file.gatewayId}-${file.incarnation}`,
      events: segment.events.length,
      ranges: rangesOf(segment.events),
      gaps: segment.gaps.map(({ first, last, count, reason }) => [first, last, count, reason] as const),
      end: segment.end,
      tornBytes: segment.tornBytes,
    };
  }
}

function reportOf(origin: string, numbers: readonly Numbers[], problems: string[]): IncarnationReport {
  const kept = numbers.reduce((sum, { events }) => sum + events, 0);
  const gaps = numbers.flatMap((one) => one.gaps);
  const dropped = gaps.reduce((sum, [, , count]) => sum + count, 0);
  for (const [first, last, count] of gaps) {
    if (last - first + 1 !== count) problems.push(`${origin}: gap ${first} to ${last} counts ${count}`);
  }
  const ranges = [...numbers.flatMap((one) => one.ranges), ...gaps.map(([first, last]) => [first, last] as const)];
  const last = checkWhole(origin, ranges, problems);
  const end = numbers.find((one) => one.end !== undefined)?.end;
  if (end !== undefined) {
    if (end.seq !== last) problems.push(`${origin}: ended at ${end.seq}, but the last number is ${last}`);
    if (end.offered !== kept + dropped + end.sampledOut) {
      problems.push(
        `${origin}: ${end.offered} offered, ${kept} kept, ${dropped} dropped, ${end.sampledOut} sampled out`,
      );
    }
  }
  return { origin, kept, dropped, last, end };
}

/** @returns the last number */
function checkWhole(origin: string, ranges: (readonly [number, number])[], problems: string[]): number {
  let last = 0;
  for (const [from, to] of ranges.sort((a, b) => a[0] - b[0])) {
    if (from > last + 1) problems.push(`${origin}: numbers ${last + 1} to ${from - 1} are missing`);
    if (from <= last) problems.push(`${origin}: numbers ${from} to ${Math.min(to, last)} occur twice`);
    last = Math.max(last, to);
  }
  return last;
}
