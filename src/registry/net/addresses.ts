/**
 * Which addresses a source may be reached at: the public ones, and of the others those that the operator has named.
 *
 * An address is judged as its bytes, never as text, and an IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) as the
 * IPv4 address that the packets would go to.
 *
 * Must not know names, URLs or sockets.
 */
import { isIP } from 'node:net';
import { GatewayError } from '../../core/errors.js';

export type AddressKind =
  | 'public'
  | 'loopback'
  | 'private'
  | 'link-local'
  | 'metadata'
  | 'multicast'
  | 'unspecified'
  | 'reserved';

export interface Judgement {
  readonly kind: AddressKind;
  /** What was judged: 4 or 16 bytes, after taking the inner address out. */
  readonly bytes: Uint8Array;
  /** An IPv4 address that was written inside an IPv6 one. */
  readonly isEmbedded: boolean;
}

export interface AddressRange {
  readonly bytes: Uint8Array;
  readonly prefixBits: number;
}

/** Where clouds hand out credentials to whoever asks: AWS (also ECS, EKS, DNS names of it), Azure, Alibaba, Oracle. */
const metadata = rangesOf([
  '169.254.169.254/32',
  '169.254.169.253/32',
  '169.254.170.2/32',
  '169.254.170.23/32',
  '168.63.129.16/32',
  '100.100.100.200/32',
  '192.0.0.192/32',
  'fd00:ec2::/32',
]);

/** The IANA special-purpose registries (RFC 6890 and its successors), most specific first where they overlap. */
const special: readonly { readonly kind: AddressKind; readonly ranges: readonly AddressRange[] }[] = [
  { kind: 'metadata', ranges: metadata },
  { kind: 'unspecified', ranges: rangesOf(['0.0.0.0/8', '::/128']) },
  { kind: 'loopback', ranges: rangesOf(['127.0.0.0/8', '::1/128']) },
  {
    kind: 'private',
    ranges: rangesOf(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7', 'fec0::/10']),
  },
  { kind: 'link-local', ranges: rangesOf(['169.254.0.0/16', 'fe80::/10']) },
  { kind: 'multicast', ranges: rangesOf(['224.0.0.0/4', 'ff00::/8']) },
  {
    kind: 'reserved',
    ranges: rangesOf([
      ...['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
      ...['240.0.0.0/4', '2001::/23', '2001:db8::/32', '3fff::/20'],
    ]),
  },
];
const globalUnicast = rangesOf(['2000::/3'])[0]!;

/** IPv6 prefixes with an IPv4 address behind them: mapped, compatible, translated, NAT64 (RFC 6052), 6to4. */
const embeddings = [
  { range: rangesOf(['::ffff:0:0/96'])[0]!, at: 12 },
  { range: rangesOf(['::ffff:0:0:0/96'])[0]!, at: 12 },
  { range: rangesOf(['64:ff9b::/96'])[0]!, at: 12 },
  { range: rangesOf(['2002::/16'])[0]!, at: 2 },
  { range: rangesOf(['::/96'])[0]!, at: 12 },
];

/** `::` and `::1` lie in the range of compatible addresses, but are what they are. */
const ownLow = rangesOf(['::/127'])[0]!;

/** @throws INVALID_ARGUMENT when it is not an address */
export function judge(address: string): Judgement {
  const outer = bytesOf(address);
  const embedding = isIn(outer, ownLow) ? undefined : embeddings.find(({ range }) => isIn(outer, range));
  const bytes = embedding === undefined ? outer : outer.slice(embedding.at, embedding.at + 4);
  return { kind: kindOf(bytes), bytes, isEmbedded: embedding !== undefined };
}

function kindOf(bytes: Uint8Array): AddressKind {
  const found = special.find(({ ranges }) => ranges.some((range) => isIn(bytes, range)));
  if (found !== undefined) return found.kind;
  return bytes.length === 4 || isIn(bytes, globalUnicast) ? 'public' : 'reserved';
}

/** Whether the operator's ranges let it through. A metadata address must be named by itself: no range covers it. */
export function isAllowed({ kind, bytes }: Judgement, allowed: readonly AddressRange[]): boolean {
  if (kind === 'public') return true;
  return allowed.some(
    (range) => isIn(bytes, range) && (kind !== 'metadata' || range.prefixBits === range.bytes.length * 8),
  );
}

/**
 * Whether an address that the configuration itself writes as the host of a source is thereby allowed. Nobody writes a
 * metadata, multicast or embedded address there for a good reason.
 */
export function isAllowedWhenNamed({ kind, isEmbedded }: Judgement): boolean {
  return kind === 'public' || (!isEmbedded && (kind === 'loopback' || kind === 'private'));
}

/**
 * Ranges as configuration writes them: `10.0.0.0/8`, `fd00::/8`, or one address.
 * @throws INVALID_ARGUMENT naming the one that is no range
 */
export function rangesOf(texts: readonly string[]): readonly AddressRange[] {
  return texts.map((text) => {
    const [address = '', prefix, ...rest] = text.split('/');
    const bytes = bytesOf(address);
    const prefixBits = prefix === undefined ? bytes.length * 8 : Number(prefix);
    const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && prefixBits <= bytes.length * 8);
    if (!isPrefix || rest.length > 0) throw notAnAddress(text);
    return { bytes, prefixBits };
  });
}

function isIn(bytes: Uint8Array, { bytes: start, prefixBits }: AddressRange): boolean {
  if (bytes.length !== start.length) return false;
  for (let bit = 0; bit < prefixBits; bit += 8) {
    const mask = 0xff & (0xff00 >> Math.min(8, prefixBits - bit));
    if (((bytes[bit >> 3]! ^ start[bit >> 3]!) & mask) !== 0) return false;
  }
  return true;
}

function bytesOf(text: string): Uint8Array {
  // A zone (`fe80::1%eth0`) chooses the way, not the address.
  const address = text.split('%', 1)[0]!;
  if (isIP(address) === 4) return Uint8Array.from(address.split('.'), Number);
  if (isIP(address) === 6) return sixteenOf(address);
  throw notAnAddress(text);
}

function sixteenOf(address: string): Uint8Array {
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    return `${((Number(a) << 8) | Number(b)).toString(16)}:${((Number(c) << 8) | Number(d)).toString(16)}`;
  });
  const [head, tail] = hex.split('::') as [string, string?];
  const front = groupsOf(head);
  const back = groupsOf(tail ?? '');
  const groups = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

function groupsOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

function notAnAddress(text: string): GatewayError {
  return new GatewayError('INVALID_ARGUMENT', `expected an address or a range like 10.0.0.0/8, got '${text}'`);
}
