/**
 * The curve of latency by load as one picture that a README can show: it stands on a ground of its own, light or dark as the
 * reader's system is, because a page does not lend its colours to a picture.
 *
 * Must not know how the curve was measured.
 */
import { drawChart, escapeXml, type Series } from '../chart.js';
import { latencyText, rateText } from '../figures.js';
import { chartStyles } from '../report-styles.js';
import type { Curve } from './results.js';

const size = { width: 760, height: 360 };
const headHeight = 62;
const names: Readonly<Record<string, string>> = { plain: 'node:http + onnxruntime-node', sluice: 'Sluice' };

export function curveSvg({ what, series }: Curve): string {
  // The gateway has the first colour.
  const ordered = [...series].sort((a, b) => Number(b.server === 'sluice') - Number(a.server === 'sluice'));
  const drawn = ordered.map(({ server, points }): Series => {
    const name = names[server] ?? server;
    return {
      name,
      points: points.map(({ rate, p99Us }) => ({
        x: rate,
        y: p99Us.median,
        title: `${name}: p99 ${latencyText(p99Us.median)} at ${rateText(rate)} requests per second`,
      })),
    };
  });
  const chart = drawChart(
    {
      title: 'Latency by load',
      series: drawn,
      xTitle: 'requests per second, arriving independently',
      yTitle: 'p99 latency',
      xText: rateText,
      yText: (us) => latencyText(us).replace(/\.0+ /, ' '),
    },
    size,
  );
  const height = size.height + headHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${height}" width="${size.width}" height="${height}" role="img" aria-label="p99 latency by load">
<style>${chartStyles}svg text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}.ground{fill:var(--page)}svg .head{font-size:15px;font-weight:600;fill:var(--ink)}</style>
<rect class="ground" width="${size.width}" height="${height}" rx="8"/>
<text class="head" x="20" y="28">p99 latency by load</text>
<text class="end" x="${size.width - 30}" y="28">${escapeXml(what)}</text>
${legend(drawn)}
<g transform="translate(0 ${headHeight})">${chart}</g>
</svg>
`;
}

/** About so wide is a letter of the legend. */
const letterWidth = 6.6;

function legend(series: readonly Series[]): string {
  let x = 20;
  return series
    .map(({ name }, at) => {
      const dot = `<circle class="dot s${at}" cx="${x + 5}" cy="48" r="5"/><text x="${x + 16}" y="52">${escapeXml(name)}</text>`;
      x += 16 + name.length * letterWidth + 24;
      return dot;
    })
    .join('');
}
