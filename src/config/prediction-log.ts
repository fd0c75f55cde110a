/**
 * `prediction_log:` – which requests are written down, how much of them, and for how long.
 *
 * Must not know how a row is written.
 */
import { z } from 'zod';
import { bytes, GiB, integer, KiB, MiB, share, size, structure, text, toggle } from './option.js';
import { expecting } from './route-words.js';
import { sinks } from './sinks.js';

const redactionRule = z.strictObject({
  target: z.string(expecting('a feature, or a place such as /inputs/image')).min(1).max(256),
  how: z.enum(['drop', 'mask', 'hash', 'bucket'], expecting('one of drop, mask, hash, bucket')),
  edges: z.array(z.number()).max(1000).optional(),
});

const tensorBytesMax = 80 * KiB;

const truncationRule = z.strictObject({
  target: z
    .string()
    .max(256)
    .regex(/^\/(inputs|outputs)\/[^/]+$/),
  bytes: size(0, tensorBytesMax),
});

/** What is said of single models. */
function byModel<Rule extends z.ZodType>(rule: Rule) {
  return z.record(z.string().min(1).max(128), z.array(rule).max(1000));
}

export const predictionLog = z.object({
  enabled: toggle(false, 'Write a row for every request that reaches a model.'),
  path: text('.sluice/log', 'Folder of the prediction log; relative to where the gateway is started.', {
    pattern: /^[^\0]{1,1024}$/,
    expected: 'a path of at most 1024 characters',
  }),
  rows: share(1, 'Share of requests that get a row; errors, overrides and slow requests always do.'),
  sample: share(0, 'Share of requests that are logged with their inputs and outputs; at most rows.'),
  redact: structure(
    byModel(redactionRule),
    {},
    {
      description: 'Rules by model for what must not be written: drop, mask, hash or bucket.',
      expected: 'rules by model, such as {fraud: [{target: card, how: hash}]}',
    },
  ),
  flush_ms: integer(100, 1, 10_000, 'Rows wait at most this long in memory.'),
  max_chunks: integer(64, 4, 64, 'Buffers of 256 KiB in each process; what finds none is dropped and counted.'),
  max_tensor_bytes: bytes(64 * KiB, 0, tensorBytesMax, 'Kept of one tensor; the rest is cut off.'),
  truncate: structure(
    byModel(truncationRule),
    {},
    {
      description:
        'Rules by model for tensors of which more or less is kept than max_tensor_bytes; 0 = only what they are.',
      expected: 'rules by model of at most 80KiB, such as {fraud: [{target: /inputs/image, bytes: 4KiB}]}',
    },
  ),
  segment_bytes: bytes(64 * MiB, 64 * KiB, GiB, 'A segment is closed at this size.'),
  segment_rows: integer(250_000, 1, 10_000_000, 'A segment is closed at so many rows.'),
  segment_age_ms: integer(300_000, 100, 86_400_000, 'A segment is closed at this age and can then be queried.'),
  max_segments_bytes: bytes(4 * GiB, MiB, 1024 * GiB, 'Segments that may wait to be converted.'),
  metadata_free_share: share(0.1, 'With less of the disk free, rows are written without inputs and outputs.'),
  min_free_share: share(0.05, 'With less of the disk free, nothing is written.'),
  max_bytes: bytes(20 * GiB, MiB, 1024 * 1024 * GiB, 'Finished files; the oldest days go first.'),
  payload_days: integer(30, 1, 36_500, 'Days after which inputs and outputs are removed.'),
  metadata_days: integer(400, 1, 36_500, 'Days after which rows are removed.'),
  sinks: structure(sinks, [], {
    description: 'Where rows go besides the disk, at least once: NATS JetStream, CloudEvents over HTTP, files to S3.',
    expected: 'a list such as [{name: hub, type: http, url: https://hub.example.com/events}]',
  }),
  query_rows: integer(10_000, 1, 1_000_000, 'Rows of one answer.'),
  query_timeout_ms: integer(30_000, 100, 600_000, 'Time that a query may take.'),
});
