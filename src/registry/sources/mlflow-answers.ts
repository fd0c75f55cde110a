/**
 * What MLflow's REST API answers, as far as it is read here: unset fields are left out, so everything but names is optional.
 *
 * int64 values are JSON numbers there; some gateways in between write them as text, which is read as well.
 *
 * Must not know requests, or what is done with the answers.
 */
import { z } from 'zod';

const int64 = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?[0-9]{1,19}$/)
    .transform(Number),
]);
const pair = z.object({ key: z.string(), value: z.string().default('') });
const metric = z.object({ key: z.string(), value: z.unknown() });

export const modelVersion = z.object({
  name: z.string(),
  version: z.string(),
  creation_timestamp: int64.default(0),
  description: z.string().default(''),
  source: z.string().default(''),
  run_id: z.string().default(''),
  status: z.string().default(''),
  status_message: z.string().default(''),
  tags: z.array(pair).default([]),
  /** Never there in the answer of a search, which does not mean that there are none. */
  aliases: z.array(z.string()).optional(),
  model_metrics: z.array(metric).default([]),
});

export type ModelVersion = z.output<typeof modelVersion>;

export const registeredModel = z.object({
  name: z.string(),
  last_updated_timestamp: int64.default(0),
  aliases: z.array(z.object({ alias: z.string(), version: z.string() })).default([]),
});

export type RegisteredModel = z.output<typeof registeredModel>;

const pageToken = z.string().optional();

export const answers = {
  version: z.object({ model_version: modelVersion }),
  model: z.object({ registered_model: registeredModel }),
  models: z.object({ registered_models: z.array(registeredModel).default([]), next_page_token: pageToken }),
  versions: z.object({ model_versions: z.array(modelVersion).default([]), next_page_token: pageToken }),
  downloadUri: z.object({ artifact_uri: z.string().default('') }),
  run: z.object({
    run: z.object({
      info: z.object({ artifact_uri: z.string().default('') }),
      data: z.object({ metrics: z.array(metric).default([]) }).default({ metrics: [] }),
    }),
  }),
  loggedModel: z.object({ model: z.object({ info: z.object({ artifact_uri: z.string().default('') }) }) }),
  files: z.object({
    files: z
      .array(z.object({ path: z.string(), is_dir: z.boolean().default(false), file_size: int64.optional() }))
      .default([]),
  }),
  error: z.object({ error_code: z.string() }),
};
