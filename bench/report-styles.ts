/**
 * How the report looks, in light and dark, wide and narrow.
 *
 * Percentiles and rows take colours in a fixed order that people who confuse red and green can tell apart.
 *
 * Must not know what is in the report.
 */

/** What a chart needs, on a page or in a picture of its own. */
export const chartStyles = `
:root{--page:#fcfcfb;--ink:#1b1b1a;--quiet:#63625d;--rule:#e3e2dd;--axis:#a3a29b;--limit:#c22f2f;
--s0:#2a6fd6;--s1:#d9600f;--s2:#158a63;--s3:#8a4fd0;--s4:#b8860b;--s5:#c2387f;--s6:#0f8fa8;--s7:#6b6b66;--rest:#c9c8c2}
@media (prefers-color-scheme:dark){:root{--page:#191918;--ink:#eeede8;--quiet:#a8a79f;--rule:#33332f;--axis:#6f6e67;--limit:#ff7b72;
--s0:#6aa3f8;--s1:#f28a45;--s2:#3fbd8f;--s3:#b58cf0;--s4:#dcb03c;--s5:#f07bb4;--s6:#4cc3da;--s7:#a5a49d;--rest:#56554f}}
svg text{font-size:12px;fill:var(--quiet)}
.middle{text-anchor:middle}.end{text-anchor:end}
svg .label,svg .axis-title{fill:var(--ink)}
svg .label{paint-order:stroke;stroke:var(--page);stroke-width:4px;stroke-linejoin:round}
.grid{stroke:var(--rule)}.axis,.tickline{stroke:var(--axis)}
.mark{stroke:var(--axis);stroke-dasharray:2 4}
.limit{stroke:var(--limit);stroke-width:1.5;stroke-dasharray:6 4}svg .limit-text{fill:var(--limit)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.dot{stroke:var(--page);stroke-width:1.5}
${Array.from({ length: 8 }, (_, at) => `.line.s${at}{stroke:var(--s${at})}.dot.s${at}{fill:var(--s${at})}`).join('')}
`;

const legendColours = Array.from({ length: 8 }, (_, at) => `.legend .s${at}{background:var(--s${at})}`).join('');

export const styles = `${chartStyles}*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 24px 48px}
h1{font-size:24px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:17px;margin:34px 0 6px}
.quiet{color:var(--quiet);font-size:13px;margin:4px 0;max-width:90ch;overflow-wrap:anywhere}
.partial{border-left:4px solid var(--limit);padding:6px 12px;margin:14px 0}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 6px;font-size:13px;color:var(--quiet)}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}
svg{display:block;max-width:100%;height:auto}
${legendColours}
.narrow{display:none}
.bars{display:grid;gap:8px;max-width:920px}
.bar{display:grid;grid-template-columns:92px 1fr 220px;gap:12px;align-items:center;font-size:13px;font-variant-numeric:tabular-nums}
.bar b{font-weight:500}.bar span{display:flex;height:16px;gap:1px}.bar span i{min-width:1px;border-radius:2px}
.bar em{font-style:normal;color:var(--quiet)}
i.queue{background:var(--s1)}i.compute{background:var(--s0)}i.rest{background:var(--rest)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th{color:var(--quiet);font-weight:500}
th.text,td.text{text-align:left}
tr>:first-child{padding-left:0}tr>:last-child{padding-right:0}
tr.unstable td,tr.failed td,tr.broken td{color:var(--quiet)}
.notes{padding-left:18px;font-size:14px;overflow-wrap:anywhere}
@media (max-width:720px){main{padding:18px 14px 36px}.wide{display:none}.narrow{display:block}
.bar{grid-template-columns:1fr}.bar{gap:2px}}
@media print{.narrow{display:none}.wide{display:block}}
`;
