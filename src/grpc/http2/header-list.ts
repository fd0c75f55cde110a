/**
 * The fields of one header block, and whether they make a request (RFC 9113 §8.2, §8.3).
 *
 * What is wrong is kept and not thrown: it ends a stream, not the connection, and the rest of the block must still be read.
 * A list does not change once its block has been read, so that the same list may stand for many requests.
 *
 * Must not know HPACK or gRPC.
 */

const nameText = /^[!-@[-~]+$/;
/** Neither NUL nor a line break, nor a blank at an end. */
const valueText = /^(?:[^\0\r\n\t ](?:[^\0\r\n]*[^\0\r\n\t ])?)?$/;

/** Fields that belong to one connection; `te` may say `trailers`. */
const connectionNames: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** What a field takes of a list beside its name and value (RFC 9113 §6.5.2). */
const fieldBytes = 32;

export class HeaderList {
  method = '';
  path = '';
  /** What is wrong with it as the head of a request, and as what follows its body; empty = nothing. */
  headFault = '';
  trailersFault = '';
  isTooLarge = false;
  /** What the layer above has made of the list, kept with it. */
  note: unknown = undefined;
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  readonly #bytesMax: number;
  #bytes = 0;
  #fault = '';
  #scheme = '';
  #hasAuthority = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The first value of a field; undefined when there is none. */
  get(name: string): string | undefined {
    const index = this.#names.indexOf(name);
    return index < 0 ? undefined : this.#values[index];
  }

  add(name: string, value: string): void {
    this.#bytes += name.length + value.length + fieldBytes;
    if (this.#bytes > this.#bytesMax) {
      this.isTooLarge = true;
      return;
    }
    if (!valueText.test(value)) this.#blame('the value of a field is not allowed');
    if (name.startsWith(':')) return this.#addPseudo(name, value);
    if (!nameText.test(name)) return this.#blame('the name of a field is not allowed');
    if (connectionNames.has(name) || (name === 'te' && value !== 'trailers')) {
      return this.#blame(`field ${name} belongs to a connection`);
    }
    this.#names.push(name);
    this.#values.push(value);
  }

  #addPseudo(name: string, value: string): void {
    if (this.#names.length > 0) return this.#blame(`${name} after other fields`);
    let had: boolean;
    switch (name) {
      case ':method':
        had = this.method !== '';
        this.method = value;
        break;
      case ':path':
        had = this.path !== '';
        this.path = value;
        break;
      case ':scheme':
        had = this.#scheme !== '';
        this.#scheme = value;
        break;
      case ':authority':
        had = this.#hasAuthority;
        this.#hasAuthority = true;
        break;
      default:
        return this.#blame('unknown pseudo-header');
    }
    if (had) this.#blame(`${name} twice`);
  }

  /** All fields have been added. */
  finish(): void {
    this.headFault = this.#fault === '' ? this.#missing() : this.#fault;
    const isHead = this.method !== '' || this.path !== '' || this.#scheme !== '' || this.#hasAuthority;
    this.trailersFault = this.#fault === '' && isHead ? 'pseudo-header among trailers' : this.#fault;
  }

  #missing(): string {
    if (this.isTooLarge) return '';
    if (this.method === '') return ':method is missing';
    if (this.path === '') return ':path is missing';
    return this.#scheme === '' ? ':scheme is missing' : '';
  }

  #blame(fault: string): void {
    if (this.#fault === '') this.#fault = fault;
  }
}
