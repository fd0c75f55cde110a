/**
 * The protobuf wire format, read in place from bytes that nobody has checked.
 *
 *   message = (tag, value)*     value = varint | 8 bytes | length + bytes | 4 bytes
 *
 * Every length is compared with the bytes that are there before it is used, values are views, and nothing is allocated
 * for what is skipped: a model of several gigabytes costs its field headers.
 *
 * Must not know what the fields mean.
 */
import { isUtf8 } from 'node:buffer';
import { AdmissionRefusal } from './admission-refusal.js';

const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export class ProtobufMessage {
  /** Number of the current field; its value must be read or skipped before `next`. */
  field = 0;
  wire = 0;
  readonly #buffer: Buffer;
  readonly #start: number;
  #at: number;
  readonly #end: number;

  constructor(buffer: Buffer, start = 0, end: number = buffer.length) {
    this.#buffer = buffer;
    this.#start = start;
    this.#at = start;
    this.#end = end;
  }

  /** A second reader of the same message, from its beginning. */
  again(): ProtobufMessage {
    return new ProtobufMessage(this.#buffer, this.#start, this.#end);
  }

  /** Moves to the next field; false at the end of the message. */
  next(): boolean {
    if (this.#at === this.#end) return false;
    const tag = this.varint();
    this.field = Math.floor(tag / 8);
    this.wire = tag % 8;
    if (tag < 0 || this.field < 1 || this.field > 536_870_911) throw this.#broken(`field number ${this.field}`);
    if (this.wire === 3 || this.wire === 4 || this.wire > 5) throw this.#broken(`wire type ${this.wire}`);
    return true;
  }

  /** The current field is number `field` and has bytes: a string, message or packed list. */
  isBytes(field: number): boolean {
    return this.field === field && this.wire === wireType.bytes;
  }

  isVarint(field: number): boolean {
    return this.field === field && this.wire === wireType.varint;
  }

  /** A varint as int64, inexact above 2^53, which nothing here comes near on purpose. */
  varint(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at === this.#end) throw this.#broken('a number that is cut off');
      const byte = this.#buffer[this.#at++]!;
      if (shift < 28) low += (byte & 0x7f) * 2 ** shift;
      else high += (byte & 0x7f) * 2 ** (shift - 28);
      if (byte < 0x80) return high >= 2 ** 35 ? ((high % 2 ** 36) - 2 ** 36) * 2 ** 28 + low : high * 2 ** 28 + low;
    }
    throw this.#broken('a number of more than 10 bytes');
  }

  message(): ProtobufMessage {
    const end = this.#lengthEnd();
    const start = this.#at;
    this.#at = end;
    return new ProtobufMessage(this.#buffer, start, end);
  }

  text(bytesMax: number): string {
    const end = this.#lengthEnd();
    const start = this.#at;
    if (end - start > bytesMax) throw this.#broken(`a name of ${end - start} bytes, at most ${bytesMax} are accepted`);
    const view = this.#buffer.subarray(start, end);
    if (!isUtf8(view)) throw this.#broken('text that is not UTF-8');
    this.#at = end;
    return view.toString('utf8');
  }

  skip(): void {
    if (this.wire === wireType.varint) this.varint();
    else if (this.wire === wireType.bytes) this.#at = this.#lengthEnd();
    else this.#at = this.#checked(this.wire === wireType.fixed64 ? 8 : 4);
  }

  #lengthEnd(): number {
    return this.#checked(this.varint());
  }

  #checked(length: number): number {
    if (length < 0 || length > this.#end - this.#at) {
      throw this.#broken(`a length of ${length} where ${this.#end - this.#at} bytes are left`);
    }
    return this.#at + length;
  }

  #broken(what: string): AdmissionRefusal {
    return new AdmissionRefusal('parse', `not a readable ONNX file: ${what} at byte ${this.#at}`);
  }
}
