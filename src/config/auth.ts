/**
 * `auth:` – by what tokens of callers are believed, so that keys and targeting of routes may come from their claims.
 *
 * Nobody is let in or kept out by it: a token that does not verify counts as one that is not there.
 *
 * Must not know tokens.
 */
import { z } from 'zod';
import { tokenAlgorithms } from '../core/token-rules.js';
import { integer, structure, text } from './option.js';

export const auth = z.object({
  jwt: z.object({
    keys: text(
      '',
      'File of the public keys by which tokens of callers (authorization: Bearer) are verified, a JWKS or PEM; empty = none is.',
    ),
    algorithms: structure(z.array(z.enum(tokenAlgorithms)).min(1).max(tokenAlgorithms.length), ['RS256', 'ES256'], {
      description: 'Algorithms that tokens may be signed by.',
      expected: `a list of ${tokenAlgorithms.join(', ')}`,
    }),
    issuer: text('', 'What iss of a token must be; empty = anything.'),
    audience: text('', 'What aud of a token must be or hold; empty = anything.'),
    clock_tolerance_s: integer(60, 0, 3600, 'How far the clock of the issuer may be apart from ours.'),
    max_kept: integer(
      10_000,
      1,
      1_000_000,
      'Tokens that each process remembers until they expire, so that each is verified once.',
    ),
  }),
});
