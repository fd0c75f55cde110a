/**
 * The Authorization header of a source, made anew for each request from where its secrets are kept.
 *
 * Must not know requests.
 */
import { GatewayError } from '../../core/errors.js';
import { type Environment, SecretFile, secretOf } from './secret.js';

export interface CredentialPlaces {
  readonly tokenEnv?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly userEnv?: string | undefined;
  readonly passwordEnv?: string | undefined;
  readonly passwordFile?: string | undefined;
}

export interface Credentials {
  /** @returns undefined when none are configured; @throws what keeping places throw, without the secret */
  authorization(): Promise<string | undefined>;
  /** For a protocol that sends them in its own way. */
  basic(): Promise<{ readonly user: string; readonly password: string } | undefined>;
  token(): Promise<string | undefined>;
}

/** Basic wins when both are configured. A file wins over a variable. */
export function createCredentials(places: CredentialPlaces, environment: Environment): Credentials {
  const tokenPlace = kept(places.tokenEnv, places.tokenFile, environment);
  const user = kept(places.userEnv, undefined, environment);
  const password = kept(places.passwordEnv, places.passwordFile, environment);
  const basic = async () => {
    if (user === undefined || password === undefined) return undefined;
    return { user: await user(), password: await password() };
  };
  const token = async () => (tokenPlace === undefined ? undefined : sendable(await tokenPlace()));
  return {
    basic,
    token,
    authorization: async () => {
      const pair = await basic();
      if (pair !== undefined) return `Basic ${Buffer.from(`${pair.user}:${pair.password}`).toString('base64')}`;
      const bearer = await token();
      return bearer === undefined ? undefined : `Bearer ${bearer}`;
    },
  };
}

const none = async () => undefined;

export const noCredentials: Credentials = { authorization: none, basic: none, token: none };

function kept(
  variable: string | undefined,
  path: string | undefined,
  environment: Environment,
): (() => Promise<string>) | undefined {
  if (path !== undefined) {
    const file = new SecretFile(path);
    return () => file.text();
  }
  return variable === undefined ? undefined : async () => secretOf(environment, variable);
}

/** A header with a line end in it would be refused later, by a message that shows it. */
function sendable(token: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new GatewayError('FAILED_PRECONDITION', 'the token is empty or has characters that no header can carry');
}
