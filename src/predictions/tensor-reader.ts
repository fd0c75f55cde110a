/**
 * Inputs and outputs of a record as tensors, into arrays that are used again for the next record: what a tensor is called and
 * how large it is is the same from request to request, and only its numbers are read anew. A side that nobody asks for is not
 * read.
 *
 *   over(bytes, start of the payload) ─▶ inputs, outputs, good until it is moved on
 *
 * Must not know the rest of a record.
 */
import type { Bytes } from './chunk.js';
import { KnownBytes } from './known-bytes.js';
import type { KeptTensors } from './record.js';
import { type KeptTensor, tensorAt } from './tensor-bytes.js';

/** A tensor whose numbers are those of the latest record with its head. */
interface Known {
  readonly tensor: KeptTensor;
  /** The same memory as its data. */
  readonly words: Uint32Array;
}

/** Larger ones are read into memory of their own: a loop is no faster than the runtime there. */
const bytesMax = 1024;
const known = new KnownBytes<Known>(256);
const sideMark = 1000;

class Side {
  readonly #mark: number;
  readonly #stretch = { from: 0, to: 0, mark: 0 };
  readonly tensors: KeptTensor[] = [];
  end = 0;

  constructor(mark: number) {
    this.#mark = mark;
  }

  read(bytes: Bytes, start: number): void {
    const count = bytes.bytes[start]!;
    if (this.tensors.length !== count) this.tensors.length = count;
    let at = start + 1;
    for (let i = 0; i < count; i++) {
      this.tensors[i] = this.#tensorAt(bytes, at, i);
      at = this.#stretch.to + bytes.view.getUint32(this.#stretch.to - 4, true);
    }
    this.end = at;
  }

  /** Leaves where its head lies in the stretch. */
  #tensorAt(bytes: Bytes, at: number, index: number): KeptTensor {
    const { view } = bytes;
    const stretch = this.#stretch;
    const rankAt = at + 2 + view.getUint16(at, true) + 1;
    stretch.from = at;
    stretch.to = rankAt + 1 + 4 * view.getUint8(rankAt) + 8;
    stretch.mark = this.#mark + index;
    const found = known.get(bytes, stretch);
    if (found !== undefined) {
      const { tensor, words } = found;
      for (let w = 0; w < words.length; w++) words[w] = view.getUint32(stretch.to + 4 * w, true);
      return tensor;
    }
    const { tensor } = tensorAt(bytes.bytes, at);
    if (tensor.datatype === 'BYTES') return tensor;
    const { buffer, byteOffset, byteLength } = tensor.data as Uint8Array;
    if (byteLength <= bytesMax && byteLength % 4 === 0 && byteOffset % 4 === 0)
      known.put(bytes, stretch, { tensor, words: new Uint32Array(buffer, byteOffset, byteLength / 4) });
    return tensor;
  }
}

export class TensorReader implements KeptTensors {
  readonly #inputs = new Side(0);
  readonly #outputs = new Side(sideMark);
  #bytes!: Bytes;
  #start = 0;
  #hasInputs = false;
  #hasOutputs = false;

  /** @param start of the tensors */
  over(bytes: Bytes, start: number): this {
    this.#bytes = bytes;
    this.#start = start;
    this.#hasInputs = false;
    this.#hasOutputs = false;
    return this;
  }

  get inputs(): readonly KeptTensor[] {
    if (!this.#hasInputs) this.#inputs.read(this.#bytes, this.#start);
    this.#hasInputs = true;
    return this.#inputs.tensors;
  }

  get outputs(): readonly KeptTensor[] {
    if (this.#hasOutputs) return this.#outputs.tensors;
    this.#hasOutputs = true;
    void this.inputs;
    this.#outputs.read(this.#bytes, this.#inputs.end);
    return this.#outputs.tensors;
  }
}
