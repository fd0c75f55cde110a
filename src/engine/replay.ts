/**
 * Golden samples through a session: each alone, and each as the last rows of a full batch.
 *
 *   sample ─▶ run ─▶ near what its author promised?  ─▶ sha256 of every output's bytes ─▶ equal to our own record?
 *      └─ behind other rows ─▶ run ─▶ near what it gave alone?
 *
 * The samples come from whoever made the model, so they are checked like a caller's request.
 *
 * Must not know files, processes or what a failure leads to.
 */
import { createHash } from 'node:crypto';
import type { GoldenRecord, GoldenSample } from '../core/admission.js';
import { disagreementOf } from '../core/agreement.js';
import { encodeRaw } from '../core/raw.js';
import { concat, rowsOf, type Tensor } from '../core/tensor.js';
import { Complaint, complaintOf } from './complaint.js';
import type { Session } from './session.js';
import { inventLike } from './trial.js';

/** A sample that has given the right answer by itself. */
export interface Replayed {
  readonly sample: GoldenSample;
  /** In the session's order. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Of the bytes of all outputs, in the session's order. */
  readonly sha256: string;
}

/** @throws Complaint `golden` naming the sample and what differs */
export async function replayAlone(session: Session, samples: readonly GoldenSample[]): Promise<Replayed[]> {
  const replayed: Replayed[] = [];
  for (const sample of samples) {
    const inputs = inputsOf(session, sample);
    const outputs = await runNamed(session, sample.name, inputs);
    checkPromise(sample, outputs);
    const hash = createHash('sha256');
    for (const output of outputs) hash.update(encodeRaw(output));
    replayed.push({ sample, inputs, outputs, sha256: hash.digest('hex') });
  }
  return replayed;
}

/** @throws Complaint `golden` when the record was made under the same fingerprint and is of other bytes */
export function checkRecord(replayed: readonly Replayed[], record: GoldenRecord, fingerprint: string): void {
  if (record.fingerprint !== fingerprint) return;
  if (record.outputsSha256.length !== replayed.length) {
    throw golden(`there are ${replayed.length} golden samples, but ${record.outputsSha256.length} on record`);
  }
  replayed.forEach(({ sample, sha256 }, index) => {
    const expected = record.outputsSha256[index];
    if (sha256 === expected) return;
    throw golden(
      `${sample.name}: the outputs have sha256 ${sha256}, but ${expected} on record from the same runtime, machine and options (${fingerprint})`,
    );
  });
}

/**
 * @param rowsMax rows of a full batch
 * @returns what differs for the first sample that answers otherwise in company; undefined when none does
 */
export async function whyNotInBatch(
  session: Session,
  replayed: readonly Replayed[],
  rowsMax: number,
): Promise<string | undefined> {
  for (const one of replayed) {
    const own = one.inputs[0]?.shape[0] ?? 0;
    if (own < 1 || own >= rowsMax) continue;
    const together = await runInCompany(session, one, replayed, rowsMax - own);
    for (const [index, output] of together.entries()) {
      if (output.shape[0] !== rowsMax)
        return `${one.sample.name} in a batch: output '${output.name}' has ${output.shape[0] ?? 'no'} rows for ${rowsMax} of input`;
      const difference = disagreementOf(one.outputs[index]!, rowsOf(output, rowsMax - own, own), one.sample.tolerance);
      if (difference !== undefined) return `${one.sample.name} in a batch of ${rowsMax} rows: ${difference}`;
    }
  }
  return undefined;
}

/** Rows of other samples go before it or, where there are none of its shape, made-up ones, or its own again. */
async function runInCompany(
  session: Session,
  one: Replayed,
  all: readonly Replayed[],
  rows: number,
): Promise<readonly Tensor[]> {
  const others = all.filter((other) => other !== one && isAlike(other.inputs, one.inputs)).map(({ inputs }) => inputs);
  if (others.length === 0) {
    try {
      return await session.run(behind([one.inputs.map((input) => inventLike(input, rows))], one.inputs, rows));
    } catch {
      // The model refuses made-up values, which says nothing about batches.
    }
  }
  return runNamed(session, one.sample.name, behind(others.length === 0 ? [one.inputs] : others, one.inputs, rows));
}

/** `own` after `rows` rows taken from `others` in turn. */
function behind(others: readonly (readonly Tensor[])[], own: readonly Tensor[], rows: number): Tensor[] {
  return own.map((input, index) => {
    const parts: Tensor[] = [];
    for (let left = rows, turn = 0; left > 0; turn++) {
      const other = others[turn % others.length]![index]!;
      const taken = Math.min(left, other.shape[0]!);
      parts.push(rowsOf(other, 0, taken));
      left -= taken;
    }
    return concat([...parts, input]);
  });
}

/** Rows of both fit into one batch. */
function isAlike(a: readonly Tensor[], b: readonly Tensor[]): boolean {
  if ((a[0]?.shape[0] ?? 0) < 1) return false;
  return a.every(({ shape }, index) => shape.slice(1).join() === b[index]!.shape.slice(1).join());
}

/** The sample's inputs in the session's order: the runtime ignores those that it does not know without a word. */
function inputsOf(session: Session, { name, inputs }: GoldenSample): Tensor[] {
  const unknown = inputs.find((input) => !session.inputs.some((spec) => spec.name === input.name));
  if (unknown !== undefined) throw golden(`${name}: input '${unknown.name}' is not in the model`);
  return session.inputs.map((spec) => {
    const found = inputs.find((input) => input.name === spec.name);
    if (found === undefined) throw golden(`${name}: input '${spec.name}' of the model is missing`);
    if (found.datatype === spec.datatype) return found;
    throw golden(`${name}: input '${spec.name}' is ${found.datatype}, but the model expects ${spec.datatype}`);
  });
}

async function runNamed(session: Session, name: string, inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
  try {
    return await session.run(inputs);
  } catch (error) {
    const { code, message } = complaintOf(error);
    throw code === 'memory' ? new Complaint(code, message) : golden(`${name}: ${message}`);
  }
}

function checkPromise(sample: GoldenSample, outputs: readonly Tensor[]): void {
  const asked = sample.requested ?? outputs.map(({ name }) => name);
  for (const name of asked) {
    const got = outputs.find((output) => output.name === name);
    if (got === undefined) throw golden(`${sample.name}: output '${name}' is not in the model`);
    const expected = sample.outputs.find((output) => output.name === name);
    if (expected === undefined) throw golden(`${sample.name}: output '${name}' is not in the expected response`);
    const difference = disagreementOf(expected, got, sample.tolerance);
    if (difference !== undefined) throw golden(`${sample.name}: ${difference}`);
  }
  const odd = sample.outputs.find(({ name }) => !asked.includes(name));
  if (odd !== undefined) throw golden(`${sample.name}: output '${odd.name}' is expected but was not asked for`);
}

function golden(reason: string): Complaint {
  return new Complaint('golden', reason);
}
