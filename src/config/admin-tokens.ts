/**
 * Tokens of the control port by name, each with a role: the token itself, the variable that holds it, or its sha256.
 *
 *   tokens: { prometheus: {role: viewer, token_env: SCRAPE_TOKEN}, alice: {role: operator, sha256: 9f86…} }
 *
 * A token that stands in the file is turned into its digest here, so that no configuration in memory or on its way between
 * processes holds one.
 *
 * Must not know who presents a token.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';

const tokensMax = 100;
/** Names that the audit log gives to callers without a token of their own. */
const taken = ['loopback', 'token', 'v2'];

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/)
  .refine((text) => !taken.includes(text));

const one = z
  .strictObject({
    role: z.enum(['viewer', 'operator', 'admin']),
    token: z
      .string()
      .regex(/^[!-~]{16,512}$/)
      .optional(),
    token_env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/)
      .optional(),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
  })
  .refine((given) => [given.token, given.token_env, given.sha256].filter((place) => place !== undefined).length === 1)
  .transform(({ role, token, token_env, sha256 }) => {
    const digest = token === undefined ? sha256 : createHash('sha256').update(token).digest('hex');
    return { role, token_env, sha256: digest };
  });

export const adminTokens = z.record(name, one).refine((tokens) => Object.keys(tokens).length <= tokensMax);

export const adminTokensExpected =
  'up to 100 of <name>: {role: viewer | operator | admin, and one of token (at least 16 visible ASCII characters), token_env, sha256}';
