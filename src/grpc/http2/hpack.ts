/**
 * Reads header blocks (HPACK, RFC 7541): a static and a dynamic table, literals, Huffman codes.
 *
 *   block ─┬▶ seen since the table last changed ─▶ the list that it made then
 *          └▶ decode ─▶ changes the table ─▶ all that was seen is forgotten
 *                   └▶ does not ───────────▶ remembered
 *
 * A client sends the same block for call after call once its fields are in the table, so most calls cost one look-up. A block
 * means the same only as long as the table does, which is why any change of it forgets all blocks.
 *
 * Must not know frames or streams.
 */
import { ConnectionFault, compressionError } from './frames.js';
import { HeaderList } from './header-list.js';
import { decodeHuffman } from './huffman.js';
import { staticNames, staticSize, staticValues } from './static-table.js';

/** What we tell our peers by not saying anything (RFC 9113 §6.5.2). */
const tableBytesMax = 4096;
const entryBytes = 32;

/** Chosen: a client has about as many different blocks as it calls methods. */
const seenMax = 64;
/** Chosen: longer blocks hold values that change, and are not worth a copy. */
const seenBytesMax = 2048;

function fault(message: string): ConnectionFault {
  return new ConnectionFault(compressionError, message);
}

export class HpackDecoder {
  readonly #listBytesMax: number;
  /** Oldest first, from `#first` on. */
  #names: string[] = [];
  #values: string[] = [];
  #first = 0;
  #bytes = 0;
  #bytesMax = tableBytesMax;
  readonly #seen = new Map<string, HeaderList>();
  #isChanged = false;
  #bytesOf: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  /** Decoded strings, for a moment; grows to the longest block's. */
  #text: Buffer = Buffer.alloc(0);

  /** @param listBytesMax of a list, counted as RFC 9113 §6.5.2 does */
  constructor(listBytesMax: number) {
    this.#listBytesMax = listBytesMax;
  }

  /** Bytes of the dynamic table, as RFC 7541 counts them. */
  get tableBytes(): number {
    return this.#bytes;
  }

  /**
   * The fields of the block `[start, end)` as a request.
   * @throws ConnectionFault COMPRESSION_ERROR: what the peer believes of our table is not true any more
   */
  decode(bytes: Buffer, start: number, end: number): HeaderList {
    if (end - start > seenBytesMax) return this.#decode(bytes, start, end);
    const key = bytes.toString('latin1', start, end);
    const known = this.#seen.get(key);
    if (known !== undefined) return known;
    const list = this.#decode(bytes, start, end);
    if (this.#isChanged) this.#seen.clear();
    else {
      if (this.#seen.size === seenMax) this.#seen.clear();
      this.#seen.set(key, list);
    }
    return list;
  }

  #decode(bytes: Buffer, start: number, end: number): HeaderList {
    const list = new HeaderList(this.#listBytesMax);
    this.#bytesOf = bytes;
    this.#at = start;
    this.#end = end;
    this.#isChanged = false;
    while (this.#at < end && (bytes[this.#at]! & 0xe0) === 0x20) this.#resize(this.#integer(5));
    while (this.#at < end) this.#field(list, bytes[this.#at]!);
    // The chunk may go.
    this.#bytesOf = this.#text;
    // Also for blocks that are too long to remember.
    if (this.#isChanged) this.#seen.clear();
    list.finish();
    return list;
  }

  #field(list: HeaderList, first: number): void {
    if (first >= 0x80) {
      const index = this.#integer(7);
      if (index === 0) throw fault('index 0');
      return list.add(this.#nameAt(index), this.#valueAt(index));
    }
    if (first >= 0x40) {
      const index = this.#integer(6);
      const name = index === 0 ? this.#string() : this.#nameAt(index);
      const value = this.#string();
      this.#insert(name, value);
      return list.add(name, value);
    }
    if (first >= 0x20) throw fault('a table size within a block');
    const index = this.#integer(4);
    const name = index === 0 ? this.#string() : this.#nameAt(index);
    list.add(name, this.#string());
  }

  /** An integer whose first byte has a prefix of `bits` bits. */
  #integer(bits: number): number {
    const mask = (1 << bits) - 1;
    let value = this.#bytesOf[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      if (this.#at >= this.#end) throw fault('an integer is cut off');
      // Four bytes go beyond every index, size and length that can be.
      if (shift > 21) throw fault('an integer is too large');
      const byte = this.#bytesOf[this.#at++]!;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  #string(): string {
    if (this.#at >= this.#end) throw fault('a string is missing');
    const isHuffman = this.#bytesOf[this.#at]! >= 0x80;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw fault('a string is cut off');
    this.#at = end;
    if (!isHuffman) return this.#bytesOf.toString('latin1', start, end);
    if (this.#text.length < length * 2) this.#text = Buffer.allocUnsafeSlow(Math.max(512, length * 2));
    const text = decodeHuffman(this.#bytesOf, start, end, this.#text);
    if (text === undefined) throw fault('a string is not in the Huffman code');
    return text;
  }

  #nameAt(index: number): string {
    return index <= staticSize ? staticNames[index]! : this.#names[this.#place(index)]!;
  }

  #valueAt(index: number): string {
    return index <= staticSize ? staticValues[index]! : this.#values[this.#place(index)]!;
  }

  /** Where the entry of a dynamic index stands: the newest comes first. */
  #place(index: number): number {
    const place = this.#names.length - (index - staticSize);
    if (place < this.#first) throw fault(`index ${index} is not in the table`);
    return place;
  }

  #insert(name: string, value: string): void {
    this.#isChanged = true;
    const bytes = name.length + value.length + entryBytes;
    this.#evict(this.#bytesMax - bytes);
    if (bytes > this.#bytesMax) return;
    this.#names.push(name);
    this.#values.push(value);
    this.#bytes += bytes;
  }

  #resize(bytesMax: number): void {
    if (bytesMax > tableBytesMax) throw fault(`a table of ${bytesMax} bytes, at most ${tableBytesMax} were offered`);
    if (bytesMax !== this.#bytesMax) this.#isChanged = true;
    this.#bytesMax = bytesMax;
    this.#evict(bytesMax);
  }

  /** Lets the oldest entries go until at most `bytesMax` are left. */
  #evict(bytesMax: number): void {
    while (this.#bytes > Math.max(0, bytesMax)) {
      this.#bytes -= this.#names[this.#first]!.length + this.#values[this.#first]!.length + entryBytes;
      this.#names[this.#first] = '';
      this.#values[this.#first] = '';
      this.#first++;
    }
    if (this.#first < 64 || this.#first * 2 < this.#names.length) return;
    this.#names = this.#names.slice(this.#first);
    this.#values = this.#values.slice(this.#first);
    this.#first = 0;
  }
}
