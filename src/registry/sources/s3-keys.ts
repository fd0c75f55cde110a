/**
 * The keys of a bucket: user and password of the configuration are access key and secret, the token is that of a session.
 * Without any, the variables that the tools of AWS use; without these, none. The metadata service of a cloud is never asked.
 *
 * Must not know requests.
 */
import { type CredentialPlaces, createCredentials } from '../net/credentials.js';
import type { Environment } from '../net/secret.js';
import type { S3Keys } from './s3-sign.js';

export function createS3Keys(places: CredentialPlaces, environment: Environment): () => Promise<S3Keys | undefined> {
  const isNone = Object.values(places).every((place) => place === undefined);
  const credentials = createCredentials(isNone ? usual(environment) : places, environment);
  return async () => {
    const pair = await credentials.basic();
    if (pair === undefined) return undefined;
    return { accessKeyId: pair.user, secretAccessKey: pair.password, sessionToken: await credentials.token() };
  };
}

function usual(environment: Environment): CredentialPlaces {
  if (environment.AWS_ACCESS_KEY_ID === undefined) return {};
  const session = environment.AWS_SESSION_TOKEN === undefined ? undefined : 'AWS_SESSION_TOKEN';
  return { userEnv: 'AWS_ACCESS_KEY_ID', passwordEnv: 'AWS_SECRET_ACCESS_KEY', tokenEnv: session };
}
