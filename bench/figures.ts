/**
 * Numbers as people read them: microseconds, rates, sizes.
 *
 * Must not know rows or where they are shown.
 */

/** `–` = not known. */
export const unknownText = '–';

/** `184 µs`, `5.31 ms`, `1.20 s`. */
export function latencyText(us: number | undefined): string {
  if (us === undefined) return unknownText;
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1_000_000) return `${three(us / 1000)} ms`;
  return `${three(us / 1_000_000)} s`;
}

/** `12,345` and, below a hundred, `12.3`. */
export function rateText(perSecond: number | undefined): string {
  if (perSecond === undefined) return unknownText;
  return perSecond < 100 ? String(Math.round(perSecond * 10) / 10) : grouped(Math.round(perSecond));
}

export function bytesText(bytes: number | undefined): string {
  if (bytes === undefined) return unknownText;
  return bytes < 1e9 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

export function grouped(whole: number): string {
  return String(whole).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Three digits that count. */
function three(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
