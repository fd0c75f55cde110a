/**
 * The drift of a model as one page that needs nothing else: no scripts, no fonts, no pictures from anywhere. Histograms are
 * drawn as SVG: the reference as an outline, what came lately as bars in front of it.
 *
 * Every word from outside is escaped.
 *
 * Must not know how drift is decided.
 */
import type { ModelDriftDocument, VersionDriftDocument } from '../control/model-drift-document.js';
import type { DriftDocument, FeatureDocument } from '../monitor/drift-document.js';
import { numberText } from './experiment.js';

const featuresMax = 200;

const style = `
:root { color-scheme: light dark; --page: #f4f6f8; --card: #fff; --text: #16202b; --quiet: #526070; --line: #dbe1e8;
  --now: #0f766e; --was: #8494a5; --good: #14603f; --good-back: #d9f2e6; --warn: #7a4a05; --warn-back: #fdeecb;
  --bad: #9f1239; --bad-back: #fde2e4; --plain-back: #e6eaef; font: 15px/1.5 system-ui, "Segoe UI", Roboto, Arial, sans-serif }
@media (prefers-color-scheme: dark) { :root { --page: #0e141b; --card: #17202a; --text: #e6ebf0; --quiet: #9aa8b7;
  --line: #2a3643; --now: #2dd4bf; --was: #7d8c9c; --good: #86e5b8; --good-back: #123c2c; --warn: #fbd27a;
  --warn-back: #43310c; --bad: #fda4b4; --bad-back: #4a1522; --plain-back: #263240 } }
*, *::before { box-sizing: border-box } .wide { overflow-x: auto }
body { margin: 0 auto; max-width: 1180px; padding: 24px 20px 48px; background: var(--page); color: var(--text) }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 20px; margin: 32px 0 4px; display: flex; gap: 12px; align-items: center }
h3 { font-size: 16px; margin: 24px 0 8px }
p { margin: 4px 0 } .quiet { color: var(--quiet); font-size: 13px }
.pill { font-size: 12px; font-weight: 600; padding: 1px 9px; border-radius: 99px; background: var(--plain-back); white-space: nowrap }
.pill.ok { background: var(--good-back); color: var(--good) } .pill.warn { background: var(--warn-back); color: var(--warn) }
.pill.alert, .pill.drift, .pill.fired { background: var(--bad-back); color: var(--bad) }
.key { display: flex; gap: 18px; margin: 10px 0 } .key span::before { content: ""; display: inline-block; width: 12px; height: 12px;
  margin-right: 6px; border-radius: 2px; vertical-align: -1px } .key .now::before { background: var(--now) }
.key .was::before { border: 2px solid var(--was) }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 14px }
figure { margin: 0; padding: 12px 14px; background: var(--card); border: 1px solid var(--line); border-radius: 10px }
figcaption { display: flex; justify-content: space-between; align-items: flex-start; gap: 8px; font-weight: 600; overflow-wrap: anywhere }
svg { display: block; width: 100%; height: auto; margin: 8px 0 2px } .bar-now { fill: var(--now); opacity: .82 }
.bar-was { fill: none; stroke: var(--was); stroke-width: 1.5 } .axis { stroke: var(--line) }
.ends { display: flex; justify-content: space-between; color: var(--quiet); font-size: 11px }
table { border-collapse: collapse; background: var(--card); border: 1px solid var(--line); font-size: 13px }
th, td { padding: 5px 12px; text-align: left; border-bottom: 1px solid var(--line) } th { color: var(--quiet); font-weight: 600 }
td.number { text-align: right; font-variant-numeric: tabular-nums }
@media print { body { max-width: none } figure { break-inside: avoid } }`;

export function driftPage({ model, versions }: ModelDriftDocument, made: Date): string {
  const parts = versions.map(versionPart).join('\n');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Drift of ${escaped(model)}</title>
<style>${style}</style>
</head>
<body>
<h1>Drift of ${escaped(model)}</h1>
<p class="quiet">Made ${escaped(made.toISOString().slice(0, 19).replace('T', ' '))} UTC</p>
${parts}
</body>
</html>
`;
}

function versionPart(one: VersionDriftDocument): string {
  const head = `<h2>Version ${escaped(one.version)} ${pill(one.status, one.status)}</h2>`;
  if (one.report === null)
    return `<section>${head}<p>${escaped(one.reason || waiting[one.status] || '')}</p></section>`;
  const { report } = one;
  const groups = [
    ['Answers', 'outputs'],
    ['Inputs', 'features'],
    ['Features together', 'multivariate'],
  ].map(([title, family]) =>
    group(
      title!,
      sorted(report).filter((feature) => feature.family === family),
    ),
  );
  return `<section>${head}
${factsPart(report)}
<p class="key quiet"><span class="now">these rows</span><span class="was">${report.baseline === 'live' ? 'the first rows served' : `the ${report.baseline} data`}</span></p>
${groups.join('\n')}
${qualityPart(report)}
${estimatePart(report)}
</section>`;
}

const waiting: Readonly<Record<string, string>> = {
  no_reference: 'There is no profile to compare with.',
  warming_up: 'A provisional profile is being made of the first rows.',
  insufficient_data: 'Not enough rows have come yet.',
};

function factsPart(report: DriftDocument): string {
  const { window, drifted_weight_share: share } = report;
  const facts = [
    `${window.rows} rows from ${plainTime(window.from)} to ${plainTime(window.to)} UTC`,
    ...(share === null ? [] : [`${(100 * share).toFixed(0)} % of the features by weight have drifted`]),
    ...(report.output_drift ? ['what the model answers has drifted'] : []),
    ...(report.multivariate_drift ? ['features have drifted together'] : []),
    ...(window.provisional ? ['nothing is concluded from this window'] : []),
    ...(window.degraded ? ['more than a tenth of the requests was not seen'] : []),
    ...(report.baseline === 'live' ? ['provisional: compared with the first rows served, not with training data'] : []),
  ];
  return `<p>${facts.map(escaped).join(' · ')}</p>`;
}

function plainTime(iso: string): string {
  return iso.slice(0, 16).replace('T', ' ');
}

const stateRank: Readonly<Record<string, number>> = { alert: 0, warn: 1 };

function sorted({ features, ranking }: DriftDocument): FeatureDocument[] {
  const place = new Map(ranking.map((name, i) => [name, i]));
  const rank = ({ state }: FeatureDocument) => stateRank[state] ?? 2;
  const placeOf = ({ name }: FeatureDocument) => place.get(name) ?? ranking.length;
  return [...features].sort((a, b) => rank(a) - rank(b) || placeOf(a) - placeOf(b)).slice(0, featuresMax);
}

function group(title: string, features: readonly FeatureDocument[]): string {
  if (features.length === 0) return '';
  return `<h3>${title}</h3>\n<div class="grid">\n${features.map(figure).join('\n')}\n</div>`;
}

function figure(one: FeatureDocument): string {
  const { name, state, status, psi_corrected, p_adjusted, kind, reference, current, bins } = one;
  const shift =
    kind === 'numeric' ? ` · mean ${numberText(current.mean ?? null)}, was ${numberText(reference.mean ?? null)}` : '';
  const now = status === state ? '' : ` · this window: ${status.replaceAll('_', ' ')}`;
  const ends =
    bins.length < 2
      ? ''
      : `<div class="ends"><span>${escaped(shortBin(one, 0))}</span><span>${escaped(shortBin(one, bins.length - 1))}</span></div>`;
  return `<figure><figcaption><span>${escaped(name)}</span>${pill(state, state)}</figcaption>
${histogram(one)}
${ends}<p class="quiet">PSI ${numberText(psi_corrected)} · p ${numberText(p_adjusted)}${shift}${escaped(now)}</p></figure>`;
}

const [width, height] = [260, 84];

/** Shares by bin; bins are as wide as each other, for those of a number hold about equal parts of the reference. */
function histogram(one: FeatureDocument): string {
  const { name, bins, reference, current } = one;
  const [was, now] = [sharesOf(reference.counts), sharesOf(current.counts)];
  const top = Math.max(...was, ...now, 1e-9);
  const step = width / Math.max(1, bins.length);
  const drawn = bins.map((_, i) => {
    const title = `<title>${escaped(shortBin(one, i))}: now ${percent(now[i]!)}, was ${percent(was[i]!)}</title>`;
    return `<g>${title}${bar('now', now[i]! / top, i * step + step * 0.2, step * 0.6)}${bar('was', was[i]! / top, i * step + step * 0.07, step * 0.86)}</g>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Values of ${escaped(name)} by bin, now and then">${drawn.join('')}<line class="axis" x1="0" x2="${width}" y1="${height - 0.5}" y2="${height - 0.5}"/></svg>`;
}

function bar(kind: 'now' | 'was', part: number, x: number, wide: number): string {
  const tall = part * (height - 4);
  return `<rect class="bar-${kind}" x="${x.toFixed(1)}" y="${(height - 1 - tall).toFixed(1)}" width="${wide.toFixed(1)}" height="${tall.toFixed(1)}"/>`;
}

function sharesOf(counts: readonly number[]): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (total === 0 ? 0 : count / total));
}

function qualityPart({ data_quality: checks }: DriftDocument): string {
  const found = checks.filter(({ status, fired }) => fired || status === 'fires');
  if (found.length === 0) return '<h3>Data quality</h3><p class="quiet">Nothing has been found.</p>';
  const rows = found.map(
    ({ feature, check, value, reference, fired, keys = [] }) =>
      `<tr><td>${escaped(feature)}</td><td>${escaped(check.replaceAll('_', ' '))}</td><td class="number">${numberText(value)}</td><td class="number">${numberText(reference)}</td><td>${fired ? pill('fired', 'fired') : 'in this window'}</td><td>${escaped(keys.join(', '))}</td></tr>`,
  );
  return `<h3>Data quality</h3><div class="wide"><table><tr><th>Feature</th><th>Check</th><th>Now</th><th>Was</th><th>State</th><th></th></tr>${rows.join('')}</table></div>`;
}

/** An estimate is never shown without what it takes for granted. */
function estimatePart({ estimate }: DriftDocument): string {
  if (estimate === null) return '';
  const { n, accuracy_bound: bound, fired, assumption } = estimate;
  const cells = (['accuracy', 'precision', 'recall', 'f1'] as const).flatMap((name) =>
    estimate[name] === null ? [] : [`<tr><td>${name}</td><td class="number">${numberText(estimate[name])}</td></tr>`],
  );
  const limit = bound === null ? '' : ` Low is an accuracy below ${numberText(bound)}.`;
  return `<h3>Estimated without labels ${fired ? pill('fired', 'low') : ''}</h3>
<p class="quiet">Of ${n} rows, ${escaped(assumption)}.${limit}</p>
<div class="wide"><table>${cells.join('')}</table></div>`;
}

function pill(kind: string, text: string): string {
  return `<span class="pill ${escaped(kind)}">${escaped(text.replaceAll('_', ' '))}</span>`;
}

/** Edges are values that came as single precision, with all its digits. */
function shortBin({ kind, bins }: FeatureDocument, bin: number): string {
  const name = bins[bin] ?? '';
  return kind === 'numeric' ? name.replaceAll(/-?\d+\.\d{4,}(e-?\d+)?/g, (text) => numberText(Number(text))) : name;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character]!);
}
