/**
 * JSON with the numbers that JavaScript cannot hold: integers beyond 2^53 and NaN and infinities come out as their text.
 *
 *   [9007199254740993, NaN]  →  ['9007199254740993', 'NaN']
 *
 * They are put between quotation marks before JSON.parse, which would round the first and refuse the second.
 *
 * Must not know what the numbers mean.
 */

const quote = 0x22;
const backslash = 0x5c;
const depthMax = 64;
/** As many digits always fit a double exactly. */
const exactDigits = 15;

/** @throws Error with a reason when this is not such JSON, or one nested too deep */
export function parseWideJson(text: string): unknown {
  const parts: string[] = [];
  let copied = 0;
  let depth = 0;
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    const end = tokenEnd(text, at, code);
    if (end === at + 1) {
      if (code === 0x5b || code === 0x7b) depth++;
      if (code === 0x5d || code === 0x7d) depth--;
      if (depth > depthMax) throw new Error(`it is nested more than ${depthMax} deep`);
    } else if (code !== quote && isWide(text.slice(at, end))) {
      parts.push(text.slice(copied, at), '"', text.slice(at, end), '"');
      copied = end;
    }
    at = end;
  }
  parts.push(text.slice(copied));
  return JSON.parse(parts.join(''));
}

/** Just past the string, number or word that begins at `at`, or past one character of anything else. */
function tokenEnd(text: string, at: number, code: number): number {
  if (code === quote) return stringEnd(text, at);
  let end = at;
  while (end < text.length && isWordPart(text.charCodeAt(end))) end++;
  return Math.max(end, at + 1);
}

function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) return at + 1;
    if (code === backslash) at++;
  }
  return text.length;
}

/** Letters, digits, sign and point: what numbers and literals are made of. */
function isWordPart(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) ||
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    code === 0x2b ||
    code === 0x2d ||
    code === 0x2e
  );
}

function isWide(token: string): boolean {
  if (token === 'NaN' || token === 'Infinity' || token === '-Infinity') return true;
  return token.length > exactDigits && /^-?(?:0|[1-9]\d*)$/.test(token);
}
