/**
 * Why a trial failed, as a code that the registry acts on and a sentence for people.
 *
 * The runtime has only texts; this is the one place that reads them.
 *
 * Must not know what follows from a code.
 */
import { readFileSync } from 'node:fs';
import type { AdmissionCode } from '../core/admission.js';

/** Says no to the candidate. */
export class Complaint extends Error {
  readonly code: AdmissionCode;

  constructor(code: AdmissionCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** First match counts; the words are those of onnxruntime 1.30. */
const meanings: readonly (readonly [RegExp, AdmissionCode])[] = [
  [/bad_alloc|bad allocation|failed to allocate|out of memory|array buffer allocation/i, 'memory'],
  [/external (data|initializer)|memory address/i, 'external_data'],
  [
    /no op registered|not a registered|not_implemented|not implemented|could not find an implementation|no opset import|stamped with official|unsupported model ir|cannot carry|expected a tensor/i,
    'unsupported',
  ],
  [/protobuf parsing failed|invalid_protobuf|does not have a graph|invalid model\b/i, 'parse'],
];

/** Any thrown value as a complaint. */
export function complaintOf(thrown: unknown): Complaint {
  if (thrown instanceof Complaint) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const code = meanings.find(([pattern]) => pattern.test(text))?.[1] ?? 'runtime';
  return new Complaint(code, code === 'memory' ? `${memoryText()}: ${text}` : text);
}

function memoryText(): string {
  const held = Math.round(process.resourceUsage().maxRSS / 1024);
  const max = dataBytesMax();
  const allowed = max === undefined ? 'and the system gives no more' : `of ${Math.round(max / 2 ** 20)} MiB allowed`;
  return `ran out of memory while it was tried out, with ${held} MiB ${allowed}`;
}

/** The limit that this process was started under; undefined = none, or none that can be read. */
function dataBytesMax(): number | undefined {
  try {
    const max = /^Max data size\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return max === undefined ? undefined : Number(max);
  } catch {
    return undefined;
  }
}
