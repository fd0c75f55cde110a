/**
 * WWW-Authenticate (RFC 9110 §11.6.1), where several challenges and the parameters of each are parted by the same comma.
 *
 * Must not know which schemes there are.
 */

export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const headerBytesMax = 8192;

/** As far as it can be read; what makes no sense ends it. */
export function challengesOf(header: string): readonly Challenge[] {
  const part = /[\s,]*([A-Za-z][A-Za-z0-9_-]*)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?(?=[\s,]|$)/y;
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  if (header.length > headerBytesMax) return challenges;
  for (let match = part.exec(header); match !== null; match = part.exec(header)) {
    const [, name = '', quoted, plain] = match;
    const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? plain;
    if (value === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: {} });
    else if (challenges.length > 0) challenges.at(-1)!.parameters[name.toLowerCase()] = value;
  }
  return challenges;
}
