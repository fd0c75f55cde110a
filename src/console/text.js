/**
 * Numbers and times as people read them.
 *
 * Must not know the page.
 */

const none = '–';

/** Three figures, thousands as k and M. */
export function numberText(value) {
  if (!isNumber(value)) return none;
  const size = Math.abs(value);
  if (size >= 1e6) return `${three(value / 1e6)} M`;
  if (size >= 1e4) return `${three(value / 1e3)} k`;
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  return Number.isInteger(value) ? String(value) : three(value);
}

/** @param {number} seconds */
export function durationText(seconds) {
  if (!isNumber(seconds)) return none;
  if (seconds === 0) return '0';
  if (seconds >= 1) return `${three(seconds)} s`;
  if (seconds >= 0.001) return `${three(seconds * 1e3)} ms`;
  return `${Math.round(seconds * 1e6)} µs`;
}

/** @param {number} share 0 to 1 */
export function percentText(share) {
  if (!isNumber(share)) return none;
  const percent = share * 100;
  return `${percent === 0 || percent === 100 ? percent : percent.toFixed(percent < 10 ? 2 : 1)} %`;
}

export function clockText(epochMs) {
  return new Date(epochMs).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hour12: false,
  });
}

/** A time of the log: the day only when it is another one. */
export function timeText(iso, now) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return String(iso);
  const clock = clockText(at.getTime());
  return at.toDateString() === now.toDateString() ? clock : `${at.toLocaleDateString()} ${clock}`;
}

function three(value) {
  return String(Number(value.toPrecision(3)));
}

function isNumber(value) {
  return typeof value === 'number' && Number.isFinite(value);
}
