/**
 * The one message of a unary call, put together from the pieces in which it arrives.
 *
 *   flag (1 byte) · length (4 bytes, big endian) · message
 *
 * The length is compared with the limit before anything of that size is kept. The flag is not looked at, as in grpc-js:
 * without an encoding there is nothing to undo.
 *
 * Must not know streams or what the message means.
 */
export type Excess = 'too large' | 'second message';

export const prefixBytes = 5;

export class OnlyMessage {
  /** The message once it is whole. */
  bytes: Buffer | undefined = undefined;
  /** The length that was announced last. */
  size = 0;
  readonly #bytesMax: number;
  #prefix: Buffer | undefined = undefined;
  #prefixed = 0;
  #parts: Buffer[] | undefined = undefined;
  #missing = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** @returns what is wrong with what has been announced */
  take(chunk: Buffer): Excess | undefined {
    if (this.bytes === undefined && this.#prefixed === 0 && chunk.length >= prefixBytes) {
      this.size = chunk.readUInt32BE(1);
      if (this.size > this.#bytesMax) return 'too large';
      if (chunk.length === prefixBytes + this.size) {
        this.bytes = chunk.subarray(prefixBytes);
        return undefined;
      }
    }
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixed < prefixBytes) {
        at = this.#takePrefix(chunk, at);
        if (this.#prefixed < prefixBytes) return undefined;
        this.size = this.#prefix!.readUInt32BE(1);
        if (this.size > this.#bytesMax) return 'too large';
        if (this.bytes !== undefined) return 'second message';
        this.#missing = this.size;
        this.#parts = [];
      }
      const end = Math.min(chunk.length, at + this.#missing);
      if (end > at) this.#parts!.push(chunk.subarray(at, end));
      this.#missing -= end - at;
      at = end;
      if (this.#missing === 0) this.#complete();
    }
    return undefined;
  }

  #takePrefix(chunk: Buffer, start: number): number {
    this.#prefix ??= Buffer.alloc(prefixBytes);
    const end = Math.min(chunk.length, start + prefixBytes - this.#prefixed);
    chunk.copy(this.#prefix, this.#prefixed, start, end);
    this.#prefixed += end - start;
    return end;
  }

  #complete(): void {
    this.bytes = Buffer.concat(this.#parts!, this.size);
    this.#parts = undefined;
    this.#prefixed = 0;
  }
}
