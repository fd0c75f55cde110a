/**
 * Elements of tensors between their bytes and the forms of the wire, written down a second time: with the gateway's own
 * codec, a mistake in it would agree with itself. The bytes are the truth; a form is right when it gives them back.
 *
 * Must not know requests or transports.
 */
import type { DataType } from '../../src/core/tensor.js';

export type Element = number | bigint | boolean | string;

interface Form {
  readonly size: number;
  readonly read: (view: DataView, at: number) => Element;
  readonly write: (view: DataView, at: number, value: string) => void;
  /** Its field in the typed contents of gRPC; FP16 has none. */
  readonly field: string;
}

const truth = (text: string): number => (text === 'true' ? 1 : 0);

const forms: Readonly<Record<Exclude<DataType, 'BYTES' | 'BF16'>, Form>> = {
  BOOL: form(
    1,
    (v, at) => v.getUint8(at) !== 0,
    (v, at, text) => v.setUint8(at, truth(text)),
    'bool_contents',
  ),
  UINT8: form(
    1,
    (v, at) => v.getUint8(at),
    (v, at, text) => v.setUint8(at, Number(text)),
    'uint_contents',
  ),
  UINT16: form(
    2,
    (v, at) => v.getUint16(at, true),
    (v, at, text) => v.setUint16(at, Number(text), true),
    'uint_contents',
  ),
  UINT32: form(
    4,
    (v, at) => v.getUint32(at, true),
    (v, at, text) => v.setUint32(at, Number(text), true),
    'uint_contents',
  ),
  UINT64: form(
    8,
    (v, at) => v.getBigUint64(at, true),
    (v, at, text) => v.setBigUint64(at, BigInt(text), true),
    'uint64_contents',
  ),
  INT8: form(
    1,
    (v, at) => v.getInt8(at),
    (v, at, text) => v.setInt8(at, Number(text)),
    'int_contents',
  ),
  INT16: form(
    2,
    (v, at) => v.getInt16(at, true),
    (v, at, text) => v.setInt16(at, Number(text), true),
    'int_contents',
  ),
  INT32: form(
    4,
    (v, at) => v.getInt32(at, true),
    (v, at, text) => v.setInt32(at, Number(text), true),
    'int_contents',
  ),
  INT64: form(
    8,
    (v, at) => v.getBigInt64(at, true),
    (v, at, text) => v.setBigInt64(at, BigInt(text), true),
    'int64_contents',
  ),
  FP16: form(
    2,
    (v, at) => v.getUint16(at, true),
    (v, at, text) => v.setUint16(at, Number(text), true),
    '',
  ),
  FP32: form(
    4,
    (v, at) => v.getFloat32(at, true),
    (v, at, text) => v.setFloat32(at, Number(text), true),
    'fp32_contents',
  ),
  FP64: form(
    8,
    (v, at) => v.getFloat64(at, true),
    (v, at, text) => v.setFloat64(at, Number(text), true),
    'fp64_contents',
  ),
};

function form(size: number, read: Form['read'], write: Form['write'], field: string): Form {
  return { size, read, write, field };
}

/** Elements as little-endian bytes; BYTES with the length before each. */
export function bytesOfElements(datatype: DataType, elements: readonly Element[]): Buffer {
  return bytesOfTokens(
    datatype,
    elements.map((element) => (Object.is(element, -0) ? '-0' : String(element))),
  );
}

/** The same of JSON tokens. */
export function bytesOfTokens(datatype: DataType, tokens: readonly string[]): Buffer {
  if (datatype === 'BYTES') return prefixed(tokens.map((text) => Buffer.from(text)));
  const { size, write } = forms[datatype as keyof typeof forms];
  const bytes = Buffer.alloc(size * tokens.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  tokens.forEach((token, index) => {
    write(view, index * size, token);
  });
  return bytes;
}

export function prefixed(texts: readonly Buffer[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return [length, text];
    }),
  );
}

/** The strings of raw BYTES. */
export function unprefixed(bytes: Buffer): Buffer[] {
  const texts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    texts.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return texts;
}

export function elementsOfBytes(datatype: DataType, bytes: Buffer): Element[] {
  if (datatype === 'BYTES') return unprefixed(bytes).map(String);
  const { size, read } = forms[datatype as keyof typeof forms];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / size }, (_, index) => read(view, index * size));
}

/** One element as tritonclient writes it: bare NaN and infinities, the sign of zero kept. */
export function tokenOf(element: Element): string {
  if (typeof element === 'string') return JSON.stringify(element);
  return Object.is(element, -0) ? '-0.0' : String(element);
}

/** The `contents` of a gRPC input; undefined where there is no typed form. */
export function typedContents(datatype: DataType, bytes: Buffer): Record<string, unknown> | undefined {
  if (datatype === 'BYTES') return { bytes_contents: unprefixed(bytes) };
  const { field } = forms[datatype as keyof typeof forms];
  if (field === '') return undefined;
  const texts = elementsOfBytes(datatype, bytes).map((element) =>
    typeof element === 'bigint' ? `${element}` : element,
  );
  return { [field]: texts };
}
