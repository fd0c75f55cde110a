/**
 * `quotas:` – what each tenant may use, and how tenants share a queue.
 *
 * Must not know how requests are counted.
 */
import { z } from 'zod';
import { integer, structure } from './option.js';
import { placeOf } from './route-place.js';
import { expecting, number } from './route-words.js';

const allowance = {
  ms_per_s: number(0, 1e9, 'milliseconds of model time a second; 0 = no limit').default(0),
  burst_ms: number(1, 1e9, 'milliseconds').default(1000),
};

const tenantsMax = 10_000;

export const quotas = z.object({
  key: structure(
    z
      .array(
        z
          .string(expecting('a place such as header:x-tenant'))
          .refine(
            (text) => placeOf(text) !== undefined,
            expecting('header:<name>, cookie:<name>, jwt:<claim> or param:<name>'),
          ),
      )
      .max(8),
    [],
    {
      description: 'Where a request says whose it is, tried in order; none = there are no tenants.',
      expected: 'a list of places, such as [header:x-tenant]',
    },
  ),
  others: structure(
    z.strictObject(allowance),
    { ms_per_s: 0, burst_ms: 1000 },
    {
      description: 'What everybody who is not named may use, each.',
      expected: '{ms_per_s: 100, burst_ms: 1000}',
    },
  ),
  tenants: structure(
    z
      .record(
        z.string().min(1).max(256),
        z.strictObject({ ...allowance, weight: number(0.001, 1000, 'a weight').default(1) }),
      )
      .refine((all) => Object.keys(all).length <= tenantsMax, expecting(`at most ${tenantsMax} tenants`)),
    {},
    {
      description: 'What each tenant may use, of all processes together, and its share of a queue.',
      expected: '{acme: {ms_per_s: 500, burst_ms: 2000, weight: 2}}',
    },
  ),
  max_others: integer(
    1000,
    1,
    1_000_000,
    'Tenants that are not named and have a quota of their own; the rest share one.',
  ),
});
