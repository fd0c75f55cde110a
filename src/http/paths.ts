/**
 * From a raw path to the row of a URL table: segments, names, versions, labels.
 *
 * Segments are cut at `/` first and decoded once, so that an escaped slash is part of a name and never a separator. What a
 * path resolved to is remembered: clients ask for few paths, very often (0.05 instead of 1 µs).
 *
 * Must not know what an endpoint does.
 */
import { invalid } from '../core/errors.js';
import type { Selector } from '../core/inference.js';
import { isLabel } from '../core/model.js';
import { checkedModel, checkedVersion } from '../core/relay.js';

/** `[method, pattern, endpoint]`; `{m}` model, `{mv}` model with or without version or label, `{any}` any one segment. */
export type TableRow<Endpoint> = readonly [method: string, pattern: string, endpoint: Endpoint];

/** A path that is in the table. */
export interface Target<Endpoint> {
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  /** Decoded. */
  readonly segments: readonly string[];
  /** Empty when the path names none. */
  readonly model: string;
  readonly selector: Selector;
}

interface Pattern<Endpoint> {
  readonly method: string;
  readonly segments: readonly string[];
  readonly endpoint: Endpoint;
}

const rememberedMax = 1000;
const noSelector: Selector = {};

export class PathTable<Endpoint> {
  readonly #patterns: readonly Pattern<Endpoint>[];
  readonly #remembered = new Map<string, Target<Endpoint>>();

  constructor(rows: readonly TableRow<Endpoint>[]) {
    this.#patterns = rows.flatMap(([method, pattern, endpoint]) =>
      expand(pattern).map((path) => ({ method, segments: path.split('/').slice(1), endpoint })),
    );
  }

  /** @returns undefined for a path that is not in the table. @throws INVALID_ARGUMENT for a bad escape, name or version */
  find(path: string): Target<Endpoint> | undefined {
    const known = this.#remembered.get(path);
    if (known !== undefined) return known;
    const target = this.#resolve(path);
    if (target === undefined) return undefined;
    if (this.#remembered.size >= rememberedMax) this.#remembered.clear();
    this.#remembered.set(path, target);
    return target;
  }

  #resolve(path: string): Target<Endpoint> | undefined {
    const segments = segmentsOf(path);
    const matches = this.#patterns.filter((pattern) => isMatch(pattern.segments, segments));
    const first = matches[0];
    if (first === undefined) return undefined;
    // A fixed segment stands before a placeholder in the table, and hides it: `/v2/models/stats` is no model.
    const shown = matches.filter((match) => match.segments.join() === first.segments.join());
    const model = first.segments.indexOf('{m}');
    return {
      endpoints: new Map(shown.map((match) => [match.method, match.endpoint])),
      segments,
      model: model === -1 ? '' : checkedModel(segments[model]!),
      selector: selectorOf(first.segments, segments),
    };
  }
}

function expand(pattern: string): string[] {
  if (!pattern.includes('{mv}')) return [pattern];
  return ['{m}', '{m}/versions/{v}', '{m}/labels/{l}'].map((names) => pattern.replace('{mv}', `/v2/models/${names}`));
}

function isMatch(pattern: readonly string[], segments: readonly string[]): boolean {
  return pattern.length === segments.length && pattern.every((part, i) => part.startsWith('{') || part === segments[i]);
}

function selectorOf(pattern: readonly string[], segments: readonly string[]): Selector {
  const version = pattern.indexOf('{v}');
  if (version !== -1) {
    const text = checkedVersion(segments[version]!);
    return text === '' ? noSelector : { version: text };
  }
  const label = pattern.indexOf('{l}');
  return label === -1 ? noSelector : { label: checkedLabel(segments[label]!) };
}

/** @throws INVALID_ARGUMENT when `text` cannot be a version label */
export function checkedLabel(text: string): string {
  if (isLabel(text)) return text;
  throw invalid(
    `invalid version label '${text}': expected 1 to 63 letters, digits, '_' or '-', starting with a letter`,
  );
}

function segmentsOf(path: string): string[] {
  try {
    return path.split('/').slice(1).map(decodeURIComponent);
  } catch {
    throw invalid('the request path contains an invalid percent-encoding');
  }
}
