/**
 * Tokens of the control port by name, each with a role: the token itself, the variable that holds it, or its sha256.
 *
 *   tokens: { prometheus: {role: viewer, token_env: SCRAPE_TOKEN}, alice: {role: operator, sha256: 9f86…},
 *             clinic: {role: feedback, models: [cancer], token_env: CLINIC_TOKEN} }
 *
 * A token that stands in the file is turned into its digest here, so that no configuration in memory or on its way between
 * processes holds one.
 *
 * Must not know who presents a token.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isModelName } from '../core/model.js';

const tokensMax = 100;
const modelsMax = 100;
/** Names that the audit log gives to callers without a token of their own. */
const taken = ['loopback', 'token', 'v2'];

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/)
  .refine((text) => !taken.includes(text));

const one = z
  .strictObject({
    role: z.enum(['feedback', 'viewer', 'operator', 'admin']),
    models: z.array(z.string().refine(isModelName)).min(1).max(modelsMax).optional(),
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
  // Whoever may look at all that is served is not kept to some models by a list of them.
  .refine(({ role, models }) => models === undefined || role === 'feedback')
  .transform(({ role, models, token, token_env, sha256 }) => {
    const digest = token === undefined ? sha256 : createHash('sha256').update(token).digest('hex');
    return { role, models, token_env, sha256: digest };
  });

export const adminTokens = z.record(name, one).refine((tokens) => Object.keys(tokens).length <= tokensMax);

export const adminTokensExpected =
  'up to 100 of <name>: {role: feedback | viewer | operator | admin, and one of token (at least 16 visible ASCII characters), token_env, sha256}; with the role feedback also models: [<model>, …], whose labels it may bring';
