/**
 * A question to the control port of a running gateway.
 *
 * Must not know commands.
 */
import { ask } from './ask.js';

export interface Gateway {
  readonly url: string;
  readonly token: string | undefined;
}

export const controlPort = 'http://127.0.0.1:8002';

export function gatewayOf(url: string, env: NodeJS.ProcessEnv): Gateway {
  return { url, token: env.SLUICE_ADMIN_TOKEN };
}

/**
 * @param path below `/admin/`
 * @param body what is sent; without one it is only asked
 */
export function questionTo({ url, token }: Gateway, path: string, body?: object, timeoutMs = 60_000): Promise<unknown> {
  const question = { url: `${url.replace(/\/+$/, '')}/admin/${path}`, token, of: 'the control port', timeoutMs };
  return ask(body === undefined ? question : { ...question, method: 'POST', body: JSON.stringify(body) });
}
