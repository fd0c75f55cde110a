/**
 * The text form of protobuf messages, as config.pbtxt is written: `key: value`, `key { … }`, lists, comments.
 *
 * The result is a tree of fields in the order written; a list is the same field several times, as protobuf has it. Types
 * are decided by whoever reads the tree.
 *
 * Must not know which fields exist.
 */
import { GatewayError } from '../core/errors.js';

export interface TextScalar {
  readonly kind: 'scalar';
  readonly text: string;
  /** It was written in quotes: a string, not a number, boolean or enum name. */
  readonly isQuoted: boolean;
}

export interface TextMessage {
  readonly kind: 'message';
  readonly fields: readonly TextField[];
}

export interface TextField {
  readonly name: string;
  readonly value: TextScalar | TextMessage;
  /** Where the name, or the element of a list, begins; −1 = unknown. */
  readonly at: number;
}

const textMax = 1024 * 1024;
const depthMax = 32;
const closing: Readonly<Record<string, string>> = { '{': '}', '<': '>' };
const escapes: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, a: 7, b: 8, f: 12, v: 11 };

/** @throws FAILED_PRECONDITION naming line and column */
export function parseTextProto(text: string): TextMessage {
  if (text.length > textMax) throw new GatewayError('FAILED_PRECONDITION', `it is longer than ${textMax} characters`);
  return new Parser(text).message('', 0);
}

/** `line 3, column 5`. */
export function placeOf(text: string, at: number): string {
  const before = text.slice(0, at);
  return `line ${before.split('\n').length}, column ${at - before.lastIndexOf('\n')}`;
}

class Parser {
  readonly #text: string;
  /** Sticky, so that matching starts where the last token ended. */
  readonly #word = /[A-Za-z0-9_.+-]+/y;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#skipSpace();
  }

  message(end: string, depth: number): TextMessage {
    if (depth > depthMax) throw this.#unexpected(`at most ${depthMax} levels`);
    const fields: TextField[] = [];
    while (!this.#takes(end)) {
      if (this.#at === this.#text.length) throw this.#unexpected(`a field name or '${end}'`);
      this.#field(fields, depth);
    }
    return { kind: 'message', fields };
  }

  #field(fields: TextField[], depth: number): void {
    const at = this.#at;
    const name = this.#match(this.#word);
    if (name === undefined || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw this.#unexpected('a field name');
    const hasColon = this.#takes(':');
    if (this.#takes('[')) {
      this.#list(name, fields, depth);
    } else {
      const next = this.#text[this.#at] ?? '';
      if (!hasColon && closing[next] === undefined) throw this.#unexpected(`':' or '{' after '${name}'`);
      fields.push({ name, value: this.#value(depth), at });
    }
    if (!this.#takes(',')) this.#takes(';');
  }

  #list(name: string, fields: TextField[], depth: number): void {
    if (this.#takes(']')) return;
    do {
      const at = this.#at;
      fields.push({ name, value: this.#value(depth), at });
    } while (this.#takes(','));
    if (!this.#takes(']')) throw this.#unexpected(`',' or ']'`);
  }

  #value(depth: number): TextScalar | TextMessage {
    const first = this.#text[this.#at] ?? '';
    const end = closing[first];
    if (end !== undefined) {
      this.#takes(first);
      return this.message(end, depth + 1);
    }
    if (first === '"' || first === "'") return { kind: 'scalar', text: this.#strings(), isQuoted: true };
    const text = this.#match(this.#word);
    if (text === undefined) throw this.#unexpected('a value');
    return { kind: 'scalar', text, isQuoted: false };
  }

  /** Strings written one after another are one string. */
  #strings(): string {
    const bytes: number[] = [];
    for (let quote = this.#text[this.#at]; quote === '"' || quote === "'"; quote = this.#text[this.#at]) {
      this.#at++;
      while (this.#text[this.#at] !== quote) this.#character(bytes);
      this.#at++;
      this.#skipSpace();
    }
    return Buffer.from(bytes).toString('utf8');
  }

  #character(bytes: number[]): void {
    const character = this.#text[this.#at];
    if (character === undefined || character === '\n') throw this.#unexpected('the end of the string');
    const code = this.#text.codePointAt(this.#at)!;
    if (character !== '\\') {
      this.#at += code > 0xffff ? 2 : 1;
      for (const byte of Buffer.from(String.fromCodePoint(code))) bytes.push(byte);
      return;
    }
    const number = /\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3}))/y;
    number.lastIndex = this.#at;
    const [whole, hex, octal] = number.exec(this.#text) ?? [];
    if (whole !== undefined) {
      this.#at += whole.length;
      bytes.push(Number.parseInt(hex ?? octal!, hex === undefined ? 8 : 16) & 0xff);
      return;
    }
    const escaped = this.#text[this.#at + 1] ?? '';
    if (!/[nrtabfv\\'"?]/.test(escaped)) throw this.#unexpected('a known escape');
    this.#at += 2;
    bytes.push(escapes[escaped] ?? escaped.charCodeAt(0));
  }

  /** Takes `mark` if it comes next; an empty mark stands for the end of the text. */
  #takes(mark: string): boolean {
    if (mark === '') return this.#at === this.#text.length;
    if (this.#text[this.#at] !== mark) return false;
    this.#at++;
    this.#skipSpace();
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#text)?.[0];
    if (text === undefined) return undefined;
    this.#at += text.length;
    this.#skipSpace();
    return text;
  }

  #skipSpace(): void {
    for (let character = this.#text[this.#at]; character !== undefined; character = this.#text[this.#at]) {
      if (character === '#') {
        const end = this.#text.indexOf('\n', this.#at);
        this.#at = end === -1 ? this.#text.length : end;
      } else if (/\s/.test(character)) this.#at++;
      else return;
    }
  }

  #unexpected(expected: string): GatewayError {
    const got = this.#text.codePointAt(this.#at);
    const what = got === undefined ? 'the end' : `'${String.fromCodePoint(got)}'`;
    return new GatewayError(
      'FAILED_PRECONDITION',
      `${placeOf(this.#text, this.#at)}: expected ${expected}, got ${what}`,
    );
  }
}
