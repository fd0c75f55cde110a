/**
 * PART OF THE ROOT: the keys by which tokens of callers are believed: read from their file, checked, told to every process.
 *
 *   start, reload ─▶ file ─ right? ─▶ processes, and those that come        wrong ─▶ refused, and the keys before stay
 *
 * Must not know how a token is verified.
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { Config } from '../config/schema.js';
import { tokenKeysIn } from '../config/token-keys.js';
import { GatewayError, invalid } from '../core/errors.js';
import type { TokenRules } from '../core/token-rules.js';
import type { OptionChange } from './reload.js';

const fileBytesMax = 1 << 20;
const option = 'auth.jwt.keys';

/** What is wrong with the file of keys: nothing, or one line. */
export function keyProblems(config: Pick<Config, 'auth'>): { readonly where: string; readonly message: string }[] {
  try {
    readRules(config);
    return [];
  } catch (thrown) {
    const { message } = GatewayError.from(thrown);
    return [{ where: option, message: `${config.auth.jwt.keys}: ${message}` }];
  }
}

/** @returns undefined when no token is believed. @throws INVALID_ARGUMENT */
function readRules({ auth }: Pick<Config, 'auth'>): TokenRules | undefined {
  const { keys: file, algorithms, issuer, audience, clock_tolerance_s, max_kept } = auth.jwt;
  if (file === '') return undefined;
  const keys = tokenKeysIn(textOf(file), algorithms);
  return { keys, issuer, audience, clockToleranceS: clock_tolerance_s, keptMax: max_kept };
}

/** The same. @throws INVALID_ARGUMENT naming option and file, in one line */
function rulesOf(config: Config): TokenRules | undefined {
  try {
    return readRules(config);
  } catch (thrown) {
    throw invalid(`${option}: ${config.auth.jwt.keys}: ${GatewayError.from(thrown).message}`);
  }
}

function textOf(file: string): string {
  let size: number;
  try {
    const found = statSync(file);
    if (!found.isFile()) throw invalid('expected a file of public keys, got something else');
    size = found.size;
    if (size <= fileBytesMax) return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw invalid(`expected a file of public keys, got nothing: it cannot be read (${code})`);
  }
  throw invalid(`expected at most ${fileBytesMax} bytes, got ${size}`);
}

export class TokenDesk {
  readonly #send: (rules: TokenRules | undefined) => void;
  /** What processes were told last. */
  #told: TokenRules | undefined;

  /** @param send to every process, and to those that come */
  constructor(send: (rules: TokenRules | undefined) => void) {
    this.#send = send;
  }

  /** Tells processes what the file says now, if it is something new. @throws INVALID_ARGUMENT, and nothing has changed */
  follow(config: Config): void {
    const rules = rulesOf(config);
    if (sumOf(rules) === sumOf(this.#told)) return;
    this.#told = rules;
    this.#send(rules);
  }

  /** What another file under the same name would change. @throws INVALID_ARGUMENT when the next keys are wrong */
  changes(current: Config, next: Config): OptionChange[] {
    const rules = rulesOf(next);
    const isOtherwise = JSON.stringify(current.auth) !== JSON.stringify(next.auth);
    const [from, to] = [this.#told, rules].map((one) => `${next.auth.jwt.keys} (sha256 ${sumOf(one)})`);
    return isOtherwise || from === to ? [] : [{ option, from, to, isLive: true }];
  }
}

function sumOf(rules: TokenRules | undefined): string {
  if (rules === undefined) return '';
  return createHash('sha256').update(JSON.stringify(rules)).digest('hex').slice(0, 12);
}
