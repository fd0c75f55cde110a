/**
 * Counts gRPC messages in bytes as they come, and sees whether the last one carries an error of V2's stream.
 *
 *   0 │ length, 4 bytes, big-endian │ message …   ModelStreamInferResponse: error_message 1, infer_response 2
 *
 * Must not know connections.
 */

const errorTag = 0x0a;

export class MessageFrames {
  /** The message completed last has an error_message that is not empty. */
  isError = false;
  readonly #prefix = Buffer.alloc(5);
  #prefixBytes = 0;
  /** Of the message at hand. */
  #left = 0;
  #seen = 0;
  #first = 0;
  #second = 0;

  /** @returns how many messages these bytes complete */
  take(chunk: Buffer): number {
    let complete = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixBytes < 5) {
        this.#prefix[this.#prefixBytes++] = chunk[at++]!;
        if (this.#prefixBytes < 5) continue;
        this.#left = this.#prefix.readUInt32BE(1);
        this.#seen = 0;
        this.#first = 0;
        this.#second = 0;
      } else {
        const part = Math.min(this.#left, chunk.length - at);
        for (let byte = at; this.#seen < 2 && byte < at + part; byte++) {
          if (this.#seen++ === 0) this.#first = chunk[byte]!;
          else this.#second = chunk[byte]!;
        }
        at += part;
        this.#left -= part;
      }
      if (this.#left > 0) continue;
      this.isError = this.#first === errorTag && this.#second > 0;
      this.#prefixBytes = 0;
      complete++;
    }
    return complete;
  }
}
