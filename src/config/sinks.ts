/**
 * `prediction_log.sinks:` – where rows of the prediction log go besides the disk.
 *
 *   - {name: bus,  type: nats, url: nats://nats.example.com, subject: sluice.predictions}
 *   - {name: hub,  type: http, url: https://hub.example.com/events, auth: {token_env: HUB_TOKEN}}
 *   - {name: lake, type: s3,   url: s3://lake/predictions, auth: {user_env: KEY_ID, password_env: KEY_SECRET}}
 *
 * Secrets are named by variable and never written here.
 *
 * Must not know how anything is sent.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { KiB, MiB } from './option.js';
import { expecting, list, integer as whole } from './route-words.js';

const nameRule = expecting('a letter, then at most 31 letters, digits or dashes');
const name = z.string(nameRule).regex(/^[a-z][a-z0-9-]{0,31}$/, nameRule);
const variableRule = expecting('the name of an environment variable');
const variable = z.string(variableRule).regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, variableRule);
const lineRule = expecting('a line of text');
const line = z
  .string(lineRule)
  .max(2048, lineRule)
  .regex(/^[^\0\r\n]+$/, lineRule);

const range = z.string(expecting('a range such as 10.0.0.0/8')).refine((text) => {
  const [address = '', bits = '', ...more] = text.split('/');
  const bitsMax = { 0: -1, 4: 32, 6: 128 }[isIP(address) as 0 | 4 | 6];
  return more.length === 0 && /^[0-9]{1,3}$/.test(bits) && Number(bits) <= bitsMax;
}, expecting('a range such as 10.0.0.0/8'));

function urlOf(protocols: readonly string[], example: string) {
  const rule = expecting(`a URL such as ${example}, without a user or a password`);
  return z
    .string(rule)
    .max(2048, rule)
    .refine((given) => {
      if (!URL.canParse(given)) return false;
      const { protocol, hostname, username, password } = new URL(given);
      return protocols.includes(protocol) && hostname !== '' && username === '' && password === '';
    }, rule);
}

const common = {
  name,
  auth: z
    .strictObject(
      { token_env: variable.optional(), user_env: variable.optional(), password_env: variable.optional() },
      expecting('the names of environment variables, such as {token_env: HUB_TOKEN}'),
    )
    .refine(
      ({ user_env, password_env }) => (user_env === undefined) === (password_env === undefined),
      expecting('both of user_env and password_env, or none'),
    )
    .default({}),
  allow_private: list(range, 64, 'ranges such as 10.0.0.0/8').default([]),
  ca_file: line.optional(),
  /** Longest rest after a failure. */
  max_retry_ms: whole(100, 86_400_000, 'milliseconds').default(60_000),
};

/** Of one delivery. */
const timeoutOf = (fallback: number) => whole(100, 3_600_000, 'milliseconds').default(fallback);

const rows = {
  max_batch_rows: whole(1, 1000, 'rows').default(100),
  max_batch_bytes: whole(KiB, 16 * MiB, 'bytes').default(MiB),
  timeout_ms: timeoutOf(10_000),
};

const plain = { allow_http: z.boolean(expecting('true or false')).default(false) };

const subjectRule = expecting("parts of letters, digits, '_' and '-' with dots between, such as sluice.predictions");

const sink = z.discriminatedUnion(
  'type',
  [
    z.strictObject({
      ...common,
      ...rows,
      type: z.literal('nats'),
      url: list(urlOf(['nats:', 'tls:'], 'nats://nats.example.com:4222'), 16, 'servers').refine(
        (urls) => urls.length > 0,
        expecting('at least one server'),
      ),
      subject: z
        .string(subjectRule)
        .max(200, subjectRule)
        .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, subjectRule)
        .default('sluice.predictions'),
    }),
    z.strictObject({
      ...common,
      ...rows,
      ...plain,
      type: z.literal('http'),
      url: urlOf(['https:', 'http:'], 'https://hub.example.com/events'),
      namespace: line.default('default'),
    }),
    z.strictObject({
      ...common,
      ...plain,
      type: z.literal('s3'),
      url: urlOf(['s3:'], 's3://bucket/prefix'),
      endpoint: urlOf(['https:', 'http:'], 'https://s3.example.com').optional(),
      region: line.default('us-east-1'),
      force_path_style: z.boolean(expecting('true or false')).default(true),
      timeout_ms: timeoutOf(300_000),
    }),
  ],
  expecting('one of nats, http, s3'),
);

export const sinks = z
  .array(sink, expecting('a list of sinks'))
  .max(16, expecting('at most 16 sinks'))
  .superRefine((given, context) => {
    const seen = new Set<string>();
    for (const [index, one] of given.entries()) {
      if (seen.has(one.name))
        context.addIssue({ code: 'custom', path: [index, 'name'], message: 'expected a name that no other sink has' });
      seen.add(one.name);
    }
  });
