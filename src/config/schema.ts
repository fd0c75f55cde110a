/**
 * Every option: name, default, range, one sentence. Help, checks, the printed configuration and the flags are made from it.
 *
 * Names are those of the specification. The last part carries the unit (`_ms`, `_us`, `_bytes`). An option `a.b_c` is the flag
 * `--a-b-c` and the variable `SLUICE_A_B_C`. 0 means "automatic" or "none" only where the sentence says so.
 *
 * Must not know running code.
 */
import { z } from 'zod';
import { auth } from './auth.js';
import { admin, grpc, http } from './doors.js';
import { drift } from './drift.js';
import { batching, engine } from './engine.js';
import { labels } from './labels.js';
import { overrides } from './model-overrides.js';
import { models, registry } from './models.js';
import { absent, bytes, choice, GiB, integer, KiB, MiB, oneOf, share, structure, text, toggle } from './option.js';
import { predictionLog } from './prediction-log.js';
import { quotas } from './quotas.js';
import { routes } from './routes.js';
import { tracing } from './tracing.js';
import { triggers } from './triggers.js';

export const schema = z.object({
  server: z.object({
    name: text('sluice', 'Name in the server metadata.', {
      pattern: /^[ -~]{1,128}$/,
      expected: '1 to 128 printable ASCII characters',
    }),
  }),
  gateway: z.object({
    processes: integer(0, 0, 256, 'Gateway processes; 0 = 2, or a quarter of the cores when that is more.'),
    semi_space_mib: integer(
      16,
      1,
      64,
      'Young memory of a gateway process; less makes shorter pauses, more makes fewer.',
    ),
    beat_ms: integer(
      1000,
      50,
      60_000,
      'How often control looks whether a gateway process answers, and collects its counts.',
    ),
    beat_timeout_ms: integer(
      5000,
      200,
      600_000,
      'A gateway process that does not answer for this long is killed and replaced.',
    ),
  }),
  models,
  registry,
  audit: z.object({
    path: text('.sluice/audit', 'Folder of the audit log.'),
    max_file_bytes: bytes(64 * MiB, KiB, 16 * GiB, 'Size at which the audit log goes on in a new file.'),
  }),
  http,
  grpc,
  admin,
  auth,
  json: z.object({
    max_depth: integer(100, 8, 1000, 'Nesting of a JSON request.'),
    non_finite: choice('bare', ['bare', 'null', 'string'], 'How NaN and infinities are written in JSON replies.'),
    fp16: choice('refuse', ['refuse', 'convert'], 'Whether FP16 tensors may travel as JSON numbers.'),
  }),
  limits: z.object({
    max_string_elements: integer(1_048_576, 1, 100_000_000, 'Elements of one BYTES tensor.'),
  }),
  engine,
  batching,
  admission: z.object({
    timeout_ms: integer(60_000, 1000, 3_600_000, 'Time that the trial of a version may take, in a process of its own.'),
  }),
  memory: z.object({
    model_budget_bytes: bytes(
      0,
      0,
      1024 * GiB,
      'What open versions may take of each gateway process, by the forecast of their trials and by what processes measure; a version beyond it is refused. 0 = no limit.',
    ),
  }),
  relay: z.object({
    read: toggle(true, 'Answer index, statistics and settings on the data ports.'),
    change: choice(
      'loopback',
      ['off', 'loopback', 'on'],
      'Allow load, unload and changes of settings on the data ports: never, for loopback callers, always.',
    ),
  }),
  model_control: z.object({
    file_override: absent(false, 'Allow load calls that bring the files of a version with them.'),
  }),
  readiness: z.object({
    models: structure(
      z.preprocess(
        (value) => (typeof value === 'string' && value !== 'all' ? value.split(/\s*,\s*/) : value),
        z.union([z.literal('all'), z.array(z.string().min(1).max(128)).min(1).max(10_000)]),
      ),
      'all',
      { description: 'Models without which the server is not ready.', expected: 'all, or a list of model names' },
    ),
  }),
  request_timeout_ms: integer(30_000, 1, 3_600_000, 'Total time of a request.'),
  overload_status: oneOf(429, [429, 503], 'HTTP status of a refusal because of load.'),
  drain_delay_ms: integer(
    5000,
    0,
    600_000,
    'After a stop signal: time of normal service while the server is already not ready.',
  ),
  drain_timeout_ms: integer(30_000, 0, 3_600_000, 'Then: time for requests in flight to finish.'),
  log: z.object({
    level: choice('info', ['debug', 'info', 'warn', 'error'], 'The least level that is written.'),
    format: choice(
      'auto',
      ['auto', 'json', 'pretty'],
      'Form of the lines; auto = pretty on a terminal, JSON otherwise.',
    ),
    access: share(0, 'Share of requests that get a line of their own; 0 = off.'),
  }),
  tracing,
  metrics: z.object({
    triton_aliases: toggle(false, 'Also give the nv_inference_* metrics of Triton.'),
    series_max: integer(5000, 100, 1_000_000, 'Series in all; what comes later is counted under _other.'),
  }),
  prediction_log: predictionLog,
  drift,
  labels,
  quotas,
  cache: z.object({
    enabled: toggle(false, 'Answer equal requests from memory, for models with response_cache.'),
    max_bytes: bytes(64 * MiB, MiB, 1024 * GiB, 'Answers kept in each process.'),
    ttl_ms: integer(60_000, 1, 86_400_000, 'An answer is kept for this long.'),
  }),
  cors: z.object({ enabled: absent(false, 'Answer browsers of other origins.') }),
  compat: z.object({
    v1: absent(false, 'The V1 adapter.'),
    sagemaker: absent(false, 'The SageMaker adapter.'),
    vertex: absent(false, 'The Vertex AI adapter.'),
  }),
  triggers,
  routes: structure(
    routes,
    {},
    {
      description: 'Which variants of a model share its requests, by model.',
      expected: '{<model>: {key: [header:x-user-id], default: a, variants: {a: {version: "1", weight: 90}, …}}}',
    },
  ),
  model_overrides: structure(
    overrides,
    {},
    {
      description: 'Options of single models, by name.',
      expected: '{<model>: {<option>: value}}',
    },
  ),
});

type Frozen<T> = T extends readonly (infer E)[]
  ? readonly Frozen<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Frozen<T[K]> }
    : T;

export type Config = Frozen<z.output<typeof schema>>;
