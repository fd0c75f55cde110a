/**
 * Reads the XML that S3 answers with: elements and text, and nothing else that XML can do. A document type, and so an entity
 * of its own, is refused; everything is limited.
 *
 * Must not know what the elements mean.
 */
import { GatewayError } from '../../core/errors.js';

export interface XmlElement {
  readonly name: string;
  /** Its own text, without that of its children. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface OpenElement {
  readonly name: string;
  text: string;
  readonly children: OpenElement[];
}

const depthMax = 16;
const elementsMax = 100_000;
const namedEntities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** @throws FAILED_PRECONDITION */
export function readXml(text: string): XmlElement {
  const document: OpenElement = { name: '', text: '', children: [] };
  const path: OpenElement[] = [document];
  let elements = 0;
  let at = 0;
  while (at < text.length) {
    const start = text.indexOf('<', at);
    path.at(-1)!.text += unescaped(text.slice(at, start === -1 ? undefined : start));
    if (start === -1) break;
    const end = text.indexOf('>', start);
    if (end === -1) throw malformed('a tag does not end');
    const tag = text.slice(start + 1, end);
    at = end + 1;
    if (tag.startsWith('?')) continue;
    if (tag.startsWith('/')) {
      const closed = path.pop()!;
      if (path.length === 0 || closed.name !== tag.slice(1).trim()) throw malformed('tags do not match');
      continue;
    }
    const name = /^[A-Za-z_][\w.:-]*(?=[\s/]|$)/.exec(tag)?.[0];
    if (name === undefined) throw malformed('expected elements and text only');
    if (++elements > elementsMax) throw malformed(`it has more than ${elementsMax} elements`);
    const element = { name, text: '', children: [] };
    path.at(-1)!.children.push(element);
    if (!tag.endsWith('/')) path.push(element);
    if (path.length > depthMax) throw malformed(`it is nested more than ${depthMax} deep`);
  }
  const [root] = document.children;
  if (path.length !== 1 || root === undefined || document.children.length > 1) throw malformed('expected one element');
  return root;
}

/** Text of the first child of that name. */
export function textIn(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

function unescaped(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|([a-z]{1,5}));|&/g, (_, decimal, hex, name) => {
    if (name !== undefined && Object.hasOwn(namedEntities, name)) return namedEntities[name]!;
    const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex ?? '', 16);
    if (!(code <= 0x10ffff) || (code >= 0xd800 && code <= 0xdfff)) throw malformed('there is an unknown entity');
    return String.fromCodePoint(code);
  });
}

function malformed(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `the XML cannot be read: ${reason}`);
}
