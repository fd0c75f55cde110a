/**
 * JSON whose numbers are neither rounded nor refused: each becomes the text that was written, with `#` before it. 64-bit
 * integers, NaN, the infinities and −0 all survive.
 */
import { allocate, type Tensor, type TypedArray } from '../../../src/core/tensor.js';

const token = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** @throws SyntaxError when `text` is not JSON */
export function parseExactly(text: string): unknown {
  return JSON.parse(text.replace(token, (found) => (found.startsWith('"') ? found : `"#${found}"`)));
}

/** The number of an element as `parseExactly` gives it. */
export function numberOf(element: unknown): number {
  const text = String(element);
  if (!text.startsWith('#')) throw new Error(`expected a number, got ${text}`);
  return Number(text.slice(1));
}

/** Elements as a JSON array. */
export function elementsToJson({ datatype, data }: Tensor): string {
  if (datatype === 'BYTES') return JSON.stringify(data);
  const texts: string[] = [];
  for (const value of data as TypedArray) {
    if (datatype === 'BOOL') texts.push(value === 0 ? 'false' : 'true');
    else texts.push(Object.is(value, -0) ? '-0.0' : String(value));
  }
  return `[${texts.join(',')}]`;
}

/** Elements of a JSON array read by `parseExactly`. */
export function elementsFromJson(head: Omit<Tensor, 'data'>, elements: readonly unknown[]): Tensor {
  const { datatype } = head;
  if (datatype === 'BYTES') return { ...head, data: elements as readonly string[] };
  const data = allocate(datatype, elements.length);
  elements.forEach((element, i) => {
    if (datatype === 'BOOL') data[i] = Number(booleanOf(element));
    else if (datatype === 'INT64' || datatype === 'UINT64') data[i] = BigInt(String(element).slice(1));
    else data[i] = numberOf(element);
  });
  return { ...head, data };
}

function booleanOf(element: unknown): boolean {
  if (typeof element !== 'boolean') throw new Error(`expected a boolean, got ${element}`);
  return element;
}
