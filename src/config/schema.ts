/**
 * Every option: name, default, range, one sentence. Help, checks, the printed configuration and the flags are made from it.
 *
 * Names are those of the specification. The last part carries the unit (`_ms`, `_us`, `_bytes`). An option `a.b_c` is the flag
 * `--a-b-c` and the variable `SLUICE_A_B_C`. 0 means "automatic" or "none" only where the sentence says so.
 *
 * Must not know running code.
 */
import { z } from 'zod';
import { adminTokens, adminTokensExpected } from './admin-tokens.js';
import { drift } from './drift.js';
import { labels } from './labels.js';
import { overrides } from './model-overrides.js';
import { absent, bytes, choice, factsOf, integer, oneOf, share, structure, text, toggle } from './option.js';
import { predictionLog } from './prediction-log.js';
import { quotas } from './quotas.js';
import { sources } from './registry-sources.js';
import { routes } from './routes.js';
import { triggers } from './triggers.js';
import { versionPolicy } from './version-policy.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const hostRule = { pattern: /^[A-Za-z0-9.:_-]{1,253}$/, expected: 'a host name or an address' };

const models = z.object({
  path: text('models', 'Folder of models: <model>/<version>/model.onnx, or one bare model.onnx.'),
  name: text('model', 'Name of the model when the folder holds one bare model.onnx.', {
    pattern: /^(?!stats$)(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
    expected:
      "a model name: 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit, and not 'stats'",
  }),
  load: choice(
    'eager',
    ['eager', 'lazy', 'explicit'],
    'When versions are opened: at start, at their first request, or by load calls only.',
  ),
  version_policy: structure(
    versionPolicy,
    { latest: { n: 1 } },
    {
      description: 'Which versions of each model are served.',
      expected: '{latest: {n: 1}}, all, or {specific: [1, 2]}',
    },
  ),
  lazy: z.object({
    max_open: integer(
      32,
      1,
      100_000,
      'Versions open at once under load policy lazy; the one unused for longest is closed.',
    ),
    max_bytes: bytes(GiB, MiB, 1024 * GiB, 'Size of the model files open at once under load policy lazy.'),
  }),
  poll_ms: integer(5000, 0, 86_400_000, 'How often the folder is looked at for new versions; 0 = at start only.'),
  load_retries: integer(
    3,
    0,
    100,
    'How often a load that failed is tried again soon, later each time; then once a minute; 0 = never.',
  ),
  keep_previous_ms: integer(
    60_000,
    0,
    86_400_000,
    'How long the version before stays open after a new one answers, so that a rollback takes no time.',
  ),
  guard_ms: integer(
    60_000,
    0,
    60_000,
    'How long a version that took over is compared with the one before, and goes back when it fails, crawls or crashes; 0 = not.',
  ),
});

const registry = z.object({
  sources: structure(sources, [], {
    description: 'Where versions come from; none = the folder of models.path.',
    expected: '[{name: local, type: directory, path: models}, …], see the README for mlflow, oci, s3 and http',
  }),
  store: z.object({
    path: text('.sluice/store', 'Folder of our own copy of every version that is served.'),
    max_bytes: bytes(20 * GiB, MiB, 1024 * 1024 * GiB, 'Size of the store; what nobody uses goes first.'),
    max_file_bytes: bytes(8 * GiB, KiB, 1024 * GiB, 'Largest file of a version.'),
    max_version_bytes: bytes(16 * GiB, KiB, 1024 * GiB, 'Largest version.'),
    keep_versions: integer(3, 1, 1000, 'Newest versions of each model that stay in the store.'),
  }),
  trust: text('', 'Folder of PEM public keys by which signatures are judged; empty = none.'),
});

const audit = z.object({
  path: text('.sluice/audit', 'Folder of the audit log.'),
  max_file_bytes: bytes(64 * MiB, KiB, 16 * GiB, 'Size at which the audit log goes on in a new file.'),
});

const http = z.object({
  enabled: toggle(true, 'Serve the protocol over HTTP.'),
  port: integer(8000, 0, 65_535, 'Port of HTTP; 0 = any free one.'),
  host: text('0.0.0.0', 'Address that HTTP is served on.', hostRule),
  engine: choice('auto', ['auto', 'uws', 'uws-glibc227', 'node'], 'HTTP library; auto takes the fastest that loads.'),
  max_input_size: bytes(64 * MiB, KiB, 2 * GiB - 1, 'Largest request body, after decompression.'),
  max_buffered_bytes: bytes(512 * MiB, MiB, 64 * GiB, 'Request bodies held at once by one process.'),
  body_timeout_ms: integer(30_000, 100, 3_600_000, 'Time to receive the body of a request.'),
  write_timeout_ms: integer(30_000, 100, 3_600_000, 'Time that a response may stand still while it is written.'),
  compression_min_bytes: bytes(1024, 0, GiB, 'Replies below this size are not compressed.'),
  header_forward_pattern: absent('', 'Request headers that become request parameters.'),
});

const grpc = z.object({
  enabled: toggle(true, 'Serve the protocol over gRPC.'),
  port: integer(8001, 0, 65_535, 'Port of gRPC; 0 = any free one.'),
  host: text('0.0.0.0', 'Address that gRPC is served on.', hostRule),
  engine: choice(
    'auto',
    ['auto', 'own', 'grpc-js'],
    'What answers gRPC: our own HTTP/2, or the library, which is slower; auto = own.',
  ),
  max_message_size: bytes(64 * MiB, KiB, 2 * GiB - 1, 'Largest message, after decompression.'),
  max_typed_elements: integer(8_388_608, 1, 1_000_000_000, 'Elements in the typed contents of one message.'),
  stream_max_in_flight: integer(
    64,
    1,
    10_000,
    'Requests of one stream that run at once; the stream is not read beyond that.',
  ),
  reflection: toggle(false, 'Answer server reflection.'),
  response_compression: choice('none', ['none', 'low', 'medium', 'high'], 'Compression of replies.'),
  max_connection_age_ms: integer(
    300_000,
    1000,
    86_400_000,
    'A connection is asked to reconnect after this time, ±10 %, so that load spreads.',
  ),
  max_concurrent_streams: integer(256, 1, 65_536, 'Streams of one connection.'),
  write_timeout_ms: integer(
    30_000,
    100,
    3_600_000,
    'Time that a caller may take nothing of what it asked for; not with engine grpc-js.',
  ),
});

const admin = z.object({
  enabled: toggle(true, 'Open the control port: metrics, admin API.'),
  port: integer(8002, 0, 65_535, 'Port of the control listener; 0 = any free one.'),
  host: text(
    '127.0.0.1',
    'Address of the control listener. Another than loopback needs admin.token or admin.tokens.',
    hostRule,
  ),
  token: text('', 'Token that callers of the control port present as "Authorization: Bearer …"; empty = none.', {
    pattern: /^([!-~]{16,512})?$/,
    expected: 'at least 16 visible ASCII characters, or nothing',
    isSecret: true,
  }),
  tokens: structure(
    adminTokens,
    {},
    {
      description:
        'Tokens of the control port by name, each with a role; beside admin.token, which has the role admin.',
      expected: adminTokensExpected,
      isSecret: true,
    },
  ),
  metrics_open: toggle(false, 'Answer /metrics without a token.'),
});

const engine = z.object({
  inline_run_us: integer(
    500,
    0,
    10_000,
    'Batches expected to run for less than this run without a hop to a thread; 0 = never.',
  ),
  instances: integer(
    0,
    0,
    256,
    'Threads that run a version in each process; 0 = cores by intra_op_threads, shared by the processes.',
  ),
  intra_op_threads: integer(1, 1, 256, 'Threads of the runtime inside one operator.'),
  inter_op_threads: integer(
    1,
    1,
    256,
    'Threads of the runtime across operators; counts only with execution_mode parallel.',
  ),
  execution_mode: choice(
    'sequential',
    ['sequential', 'parallel'],
    'Whether operators of one run may run side by side.',
  ),
  optimization: choice(
    'all',
    ['disabled', 'basic', 'extended', 'layout', 'all'],
    'How far the runtime rewrites the graph.',
  ),
  cpu_mem_arena: toggle(true, 'Let the runtime keep memory between runs.'),
  mem_pattern: toggle(true, 'Let the runtime plan memory by the pattern of earlier runs.'),
  hard_run_timeout_ms: integer(60_000, 100, 86_400_000, 'A run beyond this costs its process, which is replaced.'),
});

const batching = z.object({
  default_max_batch_size: integer(
    32,
    1,
    65_536,
    'Rows merged into one run of a model whose configuration does not say.',
  ),
  max_queue_delay_us: integer(
    0,
    0,
    1_000_000,
    'Longest wait of a request for others to join its batch; 0 = go at once.',
  ),
  max_queue_size: integer(
    0,
    0,
    1_000_000,
    'Requests that may wait for a version in one process; 0 = the larger of 1024 and 4 full batches for each thread.',
  ),
  default_timeout_ms: integer(
    0,
    0,
    3_600_000,
    'Longest time in the queue; 0 = four times the slow run time of the model, 1 to 30 seconds.',
  ),
  priority_aging_ms: integer(500, 1, 3_600_000, 'Waiting this long raises a request by one priority level.'),
});

const endpoint = text('', 'Collector that takes spans as OTLP over HTTP, without /v1/traces; empty = no tracing.', {
  pattern: /^(https?:\/\/[A-Za-z0-9.:_[\]-]{1,253}(\/[!"$->@-~]*)?)?$/,
  expected: 'a URL such as http://localhost:4318, or nothing',
});

const tracing = z.object({
  endpoint: endpoint.refine((url) => url === '' || URL.canParse(url)).meta({ ...factsOf(endpoint) }),
  sample: share(0.001, 'Share of requests that are traced; those of a caller that is traced itself always are.'),
  service_name: text('sluice', 'Name of this service in its spans.', {
    pattern: /^[ -~]{1,128}$/,
    expected: '1 to 128 printable ASCII characters',
  }),
  headers_env: text(
    '',
    'Environment variable with headers for the collector, as name=value,name=value; empty = none.',
    {
      pattern: /^([A-Za-z_][A-Za-z0-9_]{0,127})?$/,
      expected: 'the name of an environment variable, or nothing',
    },
  ),
  timeout_ms: integer(10_000, 100, 60_000, 'Time that the collector has to take a batch.'),
  queue_max: integer(
    2048,
    64,
    100_000,
    'Traced requests of one process that wait for the collector; more are dropped.',
  ),
});

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
      4,
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
  audit,
  http,
  grpc,
  admin,
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
