/**
 * A secret by the name of where it is kept: an environment variable or a file. A file is read again when it changes, so
 * that a rotated secret needs no restart.
 *
 * No message ever shows a secret, or any part of what was read.
 *
 * Must not know what the secret is for.
 */
import { readFile, stat } from 'node:fs/promises';
import { GatewayError } from '../../core/errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

const fileBytesMax = 64 * 1024;

/** The text of a small file, without line ends behind it. */
export class SecretFile {
  readonly #path: string;
  #seen = '';
  #text = '';

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws UNAVAILABLE when it cannot be read now; FAILED_PRECONDITION when it is no secret */
  async text(): Promise<string> {
    try {
      const { mtimeMs, size, ino } = await stat(this.#path);
      if (size > fileBytesMax) {
        throw new GatewayError('FAILED_PRECONDITION', `the file of a secret has ${size} bytes, expected a short one`);
      }
      const seen = `${ino} ${size} ${mtimeMs}`;
      if (seen !== this.#seen) {
        this.#text = (await readFile(this.#path, 'utf8')).replace(/[\r\n]+$/, '');
        this.#seen = seen;
      }
      return this.#text;
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      const code = (error as NodeJS.ErrnoException).code;
      throw new GatewayError('UNAVAILABLE', `the file of a secret cannot be read: ${code}`);
    }
  }
}

/** @throws FAILED_PRECONDITION when the variable is not set */
export function secretOf(environment: Environment, name: string): string {
  const value = environment[name];
  if (value === undefined || value === '') {
    throw new GatewayError('FAILED_PRECONDITION', `the environment variable ${name} is not set`);
  }
  return value;
}
