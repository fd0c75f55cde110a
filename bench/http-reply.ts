/**
 * Finds the end of an HTTP/1.1 reply, and its status, in bytes as they come.
 *
 * A load generator must cost less than what it measures: the usual reply, whole in one chunk with a Content-Length, is one
 * search and one regular expression. Bodies are counted, not kept.
 *
 * Must not know sockets.
 */

const headBytesMax = 64 * 1024;
const headEnd = Buffer.from('\r\n\r\n');

type State = 'head' | 'body' | 'chunks' | 'until end';

export class HttpReply {
  /** Of the reply read last. */
  status = 0;
  /** The server closes the connection after this reply. */
  isLast = false;
  #state: State = 'head';
  /** Body bytes still to come. */
  #left = 0;
  #head: Buffer | undefined;
  /** A size line, as far as it has come. */
  #chunks = '';
  /** The last chunk has been seen. */
  #isTrailing = false;

  /**
   * @returns whether the reply is complete
   * @throws Error when this is not HTTP
   */
  take(chunk: Buffer): boolean {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(chunk);
      case 'body':
        this.#left -= chunk.length;
        return this.#left <= 0 && this.#reset();
      case 'chunks':
        return this.#takeChunks(chunk);
      case 'until end':
        return false;
    }
  }

  /** The connection has ended; true when that completes the reply. */
  end(): boolean {
    return this.#state === 'until end' && this.#reset();
  }

  #takeHead(chunk: Buffer): boolean {
    const bytes = this.#head === undefined ? chunk : Buffer.concat([this.#head, chunk]);
    const end = bytes.indexOf(headEnd);
    if (end < 0) {
      if (bytes.length > headBytesMax) throw new Error('no end of headers');
      this.#head = bytes;
      return false;
    }
    this.#head = undefined;
    const head = bytes.toString('latin1', 0, end);
    if (!head.startsWith('HTTP/1.')) throw new Error('not HTTP/1');
    this.status = Number(head.slice(9, 12));
    const rest = bytes.subarray(end + 4);
    // 100 Continue and the like announce the reply that follows.
    if (this.status < 200) return rest.length > 0 && this.#takeHead(rest);
    this.isLast = /\r\nconnection: *close/i.test(head);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (length !== null) {
      this.#left = Number(length[1]) - rest.length;
      this.#state = 'body';
      return this.#left <= 0 && this.#reset();
    }
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      this.#state = 'chunks';
      return this.#takeChunks(rest);
    }
    if (this.status === 204 || this.status === 304) return this.#reset();
    this.#state = 'until end';
    this.isLast = true;
    return false;
  }

  /** Walks from size to size; what is inside a chunk is skipped by its length, never searched. */
  #takeChunks(chunk: Buffer): boolean {
    let at = 0;
    for (;;) {
      const skipped = Math.min(this.#left, chunk.length - at);
      this.#left -= skipped;
      at += skipped;
      if (at >= chunk.length) return false;
      const lineEnd = chunk.indexOf(10, at);
      this.#chunks += chunk.toString('latin1', at, lineEnd < 0 ? chunk.length : lineEnd);
      if (this.#chunks.length > headBytesMax) throw new Error('no end of a chunk size');
      if (lineEnd < 0) return false;
      at = lineEnd + 1;
      const line = this.#chunks.trim();
      this.#chunks = '';
      if (this.#isTrailing) {
        // After the last chunk: trailers, then an empty line.
        if (line === '') return this.#reset();
        continue;
      }
      const size = Number.parseInt(line, 16);
      if (!(size >= 0)) throw new Error('not a chunk size');
      this.#isTrailing = size === 0;
      // With the line end after it.
      this.#left = size === 0 ? 0 : size + 2;
    }
  }

  #reset(): true {
    this.#state = 'head';
    this.#left = 0;
    this.#head = undefined;
    this.#chunks = '';
    this.#isTrailing = false;
    return true;
  }
}
