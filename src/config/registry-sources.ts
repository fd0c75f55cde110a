/**
 * Where versions of models come from: the list under `registry.sources`, one strict object for each source.
 *
 * Credentials are named by variable or file and never written here. Without any source the folder of `models.path` is one.
 *
 * Must not know how a source is asked.
 */
import { z } from 'zod';
import { integer } from './option.js';
import { versionPolicy } from './version-policy.js';

const name = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'expected a letter, then at most 31 letters, digits or dashes');
const line = z
  .string()
  .min(1)
  .max(2048)
  .regex(/^[^\0\r\n]*$/);
const label = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, 'expected an alias: a letter, then letters, digits, _ or -');
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'expected the name of an environment variable');

/** `latest`, `{latest: 2}`, `all` or `["1", "3"]`, as the versions of one model. */
const versions = z.preprocess((value) => {
  if (Array.isArray(value)) return { specific: value };
  if (typeof value === 'object' && value !== null && 'latest' in value && typeof value.latest === 'number')
    return { latest: { n: value.latest } };
  return value;
}, versionPolicy);

/** What is wanted of one model: what an alias or tag names, or versions by number. */
const selector = z.union([
  z.strictObject({ alias: label }),
  z.strictObject({ aliases: z.array(label).min(1).max(64) }),
  z.strictObject({ tag: z.string().regex(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/) }),
  z.strictObject({ versions }),
]);

const auth = z.strictObject({
  token_env: variable.optional(),
  token_file: line.optional(),
  user_env: variable.optional(),
  password_env: variable.optional(),
  password_file: line.optional(),
});

const common = {
  name,
  poll_ms: integer(5000, 0, 86_400_000, 'How often it is asked; 0 = at start and when told.'),
  versions: versions.optional(),
  models: z.record(z.string().min(1).max(256), selector).optional(),
  signature: z.enum(['off', 'warn', 'require']).optional(),
  /** Versions are published only with this tag, which must say who and when in `<tag>_by` and `<tag>_at`. */
  approval: z.strictObject({ tag: z.string().min(1).max(128) }).optional(),
  webhook: z.strictObject({ secret_env: variable }).optional(),
};

const network = {
  ...common,
  auth: auth.default({}),
  allow_http: z.boolean().default(false),
  allow_private: z.array(line).max(64).default([]),
  allow_hosts: z.array(line).max(64).default([]),
  ca_file: line.optional(),
};

const source = z.discriminatedUnion('type', [
  z.strictObject({ ...common, type: z.literal('directory'), path: line }),
  z.strictObject({ ...network, type: z.literal('http'), url: line }),
  z.strictObject({ ...network, type: z.literal('mlflow'), url: line, allow_file: z.array(line).max(16).default([]) }),
  z.strictObject({ ...network, type: z.literal('oci'), url: line, allow_realms: z.array(line).max(16).default([]) }),
  z.strictObject({
    ...network,
    type: z.literal('s3'),
    url: line,
    endpoint: line.optional(),
    region: z.string().max(64).default('us-east-1'),
    force_path_style: z.boolean().default(true),
  }),
]);

export const sources = z
  .array(source)
  .max(64)
  .superRefine((list, context) => {
    const seen = new Set<string>();
    for (const [index, { name: given }] of list.entries()) {
      if (seen.has(given))
        context.addIssue({
          code: 'custom',
          path: [index, 'name'],
          message: `expected another name, '${given}' is taken`,
        });
      seen.add(given);
    }
  });

const identity = z
  .strictObject({
    identity: line.optional(),
    identity_regexp: line.refine(isRegExp, 'expected a pattern').optional(),
    issuer: line,
  })
  .refine(
    (given) => (given.identity === undefined) !== (given.identity_regexp === undefined),
    'expected either identity or identity_regexp',
  );

/** Who is expected to have signed without a key of their own. */
export const identities = z.array(identity).max(256);

function isRegExp(pattern: string): boolean {
  try {
    new RegExp(`^(?:${pattern})$`);
    return true;
  } catch {
    return false;
  }
}
