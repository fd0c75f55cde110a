/**
 * Golden samples of a version: V2 JSON requests beside the answers that its author promises, as tensors.
 *
 *   golden/0.json, golden/0.out.json  ─▶  GoldenSample  ─▶  (the probe runs it)
 *
 * Read in the control process, whose rooms know nothing of HTTP; without binary parts, so what is promised can be read by
 * people, and with 64-bit integers exact.
 *
 * Must not know how samples are run or compared.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { GoldenSample } from '../core/admission.js';
import { type DataType, isDataType, type Tensor } from '../core/tensor.js';
import { AdmissionRefusal } from './admission-refusal.js';
import { elementsFrom } from './golden-elements.js';
import type { Manifest } from './manifest.js';
import { parseWideJson } from './wide-json.js';

type Listed = NonNullable<Manifest['golden']>[number];

const fileBytesMax = 16 * 1024 * 1024;
const allBytesMax = 64 * 1024 * 1024;

const name = z.string().min(1).max(1024);
const datatype = z.custom<DataType>(
  (value) => typeof value === 'string' && isDataType(value) && value !== 'BF16',
  'expected a V2 datatype other than BF16',
);
const tensor = z.looseObject({
  name,
  datatype,
  shape: z.array(z.int().min(0)).max(64),
  data: z.custom<readonly unknown[]>(
    Array.isArray,
    "expected an array (binary parts are not read: 'binary_data_size')",
  ),
});
const request = z.looseObject({
  inputs: z.array(tensor).max(10_000),
  outputs: z.array(z.looseObject({ name })).max(10_000).optional(),
});
const response = z.looseObject({ outputs: z.array(tensor).max(10_000) });

/**
 * @param directory of the version, whose files were verified
 * @throws AdmissionRefusal `golden` naming the file and what is wrong with it
 */
export async function readGolden(directory: string, listed: readonly Listed[]): Promise<GoldenSample[]> {
  const samples: GoldenSample[] = [];
  let bytesLeft = allBytesMax;
  for (const { request: asked, response: answered, atol, rtol } of listed) {
    const [requestText, responseText] = [await textOf(directory, asked), await textOf(directory, answered)];
    bytesLeft -= requestText.length + responseText.length;
    if (bytesLeft < 0) throw refused(asked, `the golden samples have more than ${allBytesMax} bytes in all`);
    samples.push({
      name: asked,
      ...requestOf(asked, requestText),
      outputs: responseOf(answered, responseText),
      tolerance: { atol, rtol },
    });
  }
  return samples;
}

/** The inputs of a V2 request and the outputs that it asks for. */
export function requestOf(file: string, text: string): Pick<GoldenSample, 'inputs' | 'requested'> {
  const { inputs, outputs } = parsed(file, text, request);
  // An empty list asks for all outputs, as it does on the wire.
  const requested = outputs === undefined || outputs.length === 0 ? undefined : outputs.map((output) => output.name);
  return { inputs: tensorsOf(file, inputs), requested };
}

/** The outputs of a V2 response. */
export function responseOf(file: string, text: string): Tensor[] {
  return tensorsOf(file, parsed(file, text, response).outputs);
}

function parsed<T>(file: string, text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = parseWideJson(text);
  } catch (error) {
    throw refused(file, (error as Error).message);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw refused(file, path.length === 0 ? message : `'${path.join('.')}': ${message}`);
}

function tensorsOf(file: string, written: readonly z.infer<typeof tensor>[]): Tensor[] {
  const seen = new Set<string>();
  return written.map((head) => {
    if (seen.has(head.name)) throw refused(file, `tensor '${head.name}' occurs twice`);
    seen.add(head.name);
    try {
      return { name: head.name, datatype: head.datatype, shape: head.shape, data: elementsFrom(head.data, head) };
    } catch (error) {
      throw refused(file, (error as Error).message);
    }
  });
}

async function textOf(directory: string, file: string): Promise<string> {
  try {
    const opened = await open(join(directory, file));
    try {
      const { size } = await opened.stat();
      if (size > fileBytesMax) throw refused(file, `it has ${size} bytes, at most ${fileBytesMax} are read`);
      return await opened.readFile('utf8');
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (error instanceof AdmissionRefusal) throw error;
    throw refused(file, `it cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function refused(file: string, reason: string): AdmissionRefusal {
  return new AdmissionRefusal('golden', `${file}: ${reason}`);
}
