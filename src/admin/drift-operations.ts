/**
 * What may be asked about drift, read from a query.
 *
 * Must not know how it is measured.
 */
import { invalid } from '../core/errors.js';
import { isVersionText } from '../core/model.js';
import type { QueryParameter } from './row.js';

/** Which rows: of the last judged window, of the one under way, or of the last minutes, hours or days. */
export type DriftStretch = 'judged' | 'open' | { readonly unit: 'minute' | 'hour' | 'day'; readonly count: number };

/** Of a window that was judged only the verdict is kept, not what was counted. */
export type SketchStretch = Exclude<DriftStretch, 'judged'>;

interface Question<Stretch> {
  /** All that are served when undefined. */
  readonly version: string | undefined;
  readonly stretch: Stretch;
}

export type DriftQuestion = Question<DriftStretch>;
export type SketchQuestion = Question<SketchStretch>;

const units = { m: { unit: 'minute', most: 60 }, h: { unit: 'hour', most: 24 }, d: { unit: 'day', most: 30 } } as const;

const versionQuery: QueryParameter = {
  name: 'version',
  description: 'Only this version.',
  schema: { type: 'string' },
};

export const driftQuery: QueryParameter[] = [
  versionQuery,
  {
    name: 'window',
    description:
      'judged = the last window that was judged, open = the one under way, or what came lately: 1m to 60m, 1h to 24h, 1d to 30d.',
    schema: { type: 'string', default: 'judged' },
  },
];

export const sketchQuery: QueryParameter[] = [
  versionQuery,
  {
    name: 'window',
    description: 'open = the window under way, or what came lately: 1m to 60m, 1h to 24h, 1d to 30d.',
    schema: { type: 'string', default: '1h' },
  },
];

/** @throws INVALID_ARGUMENT */
export function driftQuestion(query: URLSearchParams): DriftQuestion {
  return { version: versionIn(query), stretch: stretchOf(query.get('window') ?? 'judged') };
}

/** @throws INVALID_ARGUMENT */
export function sketchQuestion(query: URLSearchParams): SketchQuestion {
  const stretch = stretchOf(query.get('window') ?? '1h');
  if (stretch !== 'judged') return { version: versionIn(query), stretch };
  throw invalid(
    'expected window to be open, 1m to 60m, 1h to 24h or 1d to 30d: of a judged window only the verdict is kept',
  );
}

function versionIn(query: URLSearchParams): string | undefined {
  const version = query.get('version') ?? undefined;
  if (version === undefined || isVersionText(version)) return version;
  throw invalid(`expected version to be a version number, got '${version.slice(0, 20)}'`);
}

function stretchOf(text: string): DriftStretch {
  if (text === 'judged' || text === 'open') return text;
  const [, count, letter] = /^([1-9][0-9]?)([mhd])$/.exec(text) ?? [];
  const known = units[letter as keyof typeof units];
  if (known !== undefined && Number(count) <= known.most) return { unit: known.unit, count: Number(count) };
  throw invalid(`expected window to be judged, open, 1m to 60m, 1h to 24h or 1d to 30d, got '${text.slice(0, 20)}'`);
}
