/**
 * `triggers:` – who is told of what happens to models, and when a model is to be trained again.
 *
 *   endpoints: { ops: {url: https://…, secret_env: OPS_SECRET, types: [io.sluice.drift.detected]} }
 *   retrain: { digits: {when: {any: [{drift_share: ">=0.3"}, {cron: "0 3 * * 1"}]}, cooldown_h: 24} }
 *
 * Must not know how anything is sent or decided.
 */
import { z } from 'zod';
import { comparison, type RetrainCondition, type RetrainSign, triggerTypes } from '../core/trigger.js';
import { bytes, integer, KiB, MiB, structure, text } from './option.js';
import { expecting, list, modelName, number, integer as whole } from './route-words.js';

const url = z
  .string(expecting('a URL such as https://hooks.example.com/sluice'))
  .max(2048)
  .refine((given) => {
    if (!URL.canParse(given)) return false;
    const { protocol, username, password } = new URL(given);
    return (protocol === 'https:' || protocol === 'http:') && username === '' && password === '';
  }, expecting('a URL such as https://hooks.example.com/sluice, without a user or a password'));

const variable = z
  .string(expecting('the name of an environment variable'))
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, expecting('the name of an environment variable'));

const line = z.string().min(1).max(2048);

const endpoint = z.strictObject({
  url,
  /** Holds `whsec_` and base64; two with a space between while one is being replaced. */
  secret_env: variable,
  types: list(z.enum(triggerTypes, expecting(`one of ${triggerTypes.join(', ')}`)), 64, 'types').default([]),
  format: z.enum(['cloudevents', 'alertmanager'], expecting('one of cloudevents, alertmanager')).default('cloudevents'),
  hub_signature: z.boolean(expecting('true or false')).default(false),
  allow_http: z.boolean(expecting('true or false')).default(false),
  allow_private: list(line, 64, 'ranges such as 10.0.0.0/8').default([]),
  ca_file: line.optional(),
});

const endpointName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, expecting('a letter, then at most 31 letters, digits or dashes'));

const compared = z
  .string(expecting("a comparison such as '>=0.3'"))
  .regex(comparison, expecting("a comparison such as '>=0.3'"));
const depthMax = 5;
const partsMax = 32;

const sign: z.ZodType<RetrainSign> = z.union(
  [
    z.strictObject({ drift_share: compared }),
    z.strictObject({ quality: z.literal('degraded') }),
    z.strictObject({ cbpe: z.literal('alert') }),
    z.strictObject({ labels_since_training: compared }),
    z.strictObject({ cron: z.string().min(9).max(256) }),
  ],
  expecting(
    "one of {drift_share: '>=0.3'}, {quality: degraded}, {cbpe: alert}, {labels_since_training: '>=5000'}, {cron: '0 3 * * 1'}, {any: […]}, {all: […]}",
  ),
);

/** Nested so deep and no deeper: whoever reads it must be able to. */
function conditionOf(depth: number): z.ZodType<RetrainCondition> {
  if (depth === 0) return sign;
  const parts = z
    .array(conditionOf(depth - 1))
    .min(1)
    .max(partsMax);
  return z.union([z.strictObject({ any: parts }), z.strictObject({ all: parts }), sign]);
}

const retrain = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, expecting('a name'))
    .default('retrain'),
  when: conditionOf(depthMax),
  for_windows: whole(0, 1000, 'a count').default(0),
  cooldown_h: number(0, 8760, 'hours').default(24),
  max_per_week: whole(1, 1000, 'a count').default(3),
  dry_run: z.boolean(expecting('true or false')).default(false),
});

export const triggers = z.object({
  path: text('.sluice/outbox', 'Folder of what is still to be told; each server needs one of its own.', {
    pattern: /^[^\0]{1,1024}$/,
    expected: 'a path of at most 1024 characters',
  }),
  max_events: integer(10_000, 1, 1_000_000, 'Deliveries that may wait, dead letters included; those go first.'),
  max_bytes: bytes(64 * MiB, 64 * KiB, 1024 * MiB, 'Their size.'),
  endpoints: structure(
    z.record(endpointName, endpoint).refine((given) => Object.keys(given).length <= 64),
    {},
    {
      description: 'Who is told, by name: webhooks, signed with a secret.',
      expected:
        '{<name>: {url: https://…, secret_env: VARIABLE, types: [io.sluice.drift.detected], format: cloudevents}, …}',
    },
  ),
  retrain: structure(
    z.record(modelName, retrain),
    {},
    {
      description: 'When a model is to be trained again, by model.',
      expected: "{<model>: {when: {any: [{drift_share: '>=0.3'}, {cron: '0 3 * * 1'}]}, cooldown_h: 24}, …}",
    },
  ),
});
