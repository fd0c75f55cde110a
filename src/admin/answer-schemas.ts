/**
 * What the commonest answers of the control port look like, for its OpenAPI document.
 *
 * Must not know who answers.
 */

const text = { type: 'string' };
const flag = { type: 'boolean' };
const count = { type: 'number', minimum: 0 };
const list = (items: object) => ({ type: 'array', items });
const record = (values: object) => ({ type: 'object', additionalProperties: values });
const object = (properties: Readonly<Record<string, object>>) => ({
  type: 'object',
  required: Object.keys(properties),
  properties,
});
const orNull = (type: string) => ({ type: [type, 'null'] });
const time = { type: 'string', format: 'date-time' };
const tensor = object({ name: text, datatype: text, shape: list({ type: 'integer' }) });
const histogram = object({ counts: list(count), sum: count });
const source = object({ name: text, type: text, isUp: flag, reason: text, lastSuccess: orNull('string') });

export const answerSchemas = {
  Error: object({ error: text }),
  Caller: object({ name: text, role: { enum: ['viewer', 'operator', 'admin'] }, needs_token: flag }),
  Sources: object({ sources: list(source) }),
  Models: object({
    models: list(
      object({
        model: text,
        version: text,
        state: text,
        reason: text,
        isDefault: flag,
        inputs: list(text),
        outputs: list(text),
        maxBatchSize: count,
        source: text,
        sha256: text,
        labels: list(text),
      }),
    ),
    sources: list(source),
  }),
  Model: object({
    name: text,
    source: text,
    champion: orNull('string'),
    previous: orNull('string'),
    labels: record(text),
    choice: { type: 'object' },
    versions: list(
      object({
        version: text,
        state: text,
        reason: text,
        isWanted: flag,
        isListed: flag,
        sha256: text,
        bytes: orNull('number'),
      }),
    ),
  }),
  Version: object({
    model: text,
    version: text,
    source: text,
    revision: text,
    state: text,
    reason: text,
    isDefault: flag,
    labels: list(text),
    isWanted: flag,
    isListed: flag,
    stage: { enum: ['registered', 'shadow', 'canary', 'champion', 'retired', null] },
    stages: list(object({ stage: text, at: time, by: text, reason: text })),
    checks: list(object({ stage: text, check: text, isMet: flag, reason: text })),
    aliases: list(object({ label: text, from: time, until: orNull('string') })),
    sha256: text,
    bytes: orNull('number'),
    pulledAt: orNull('string'),
    files: list(object({ path: text, bytes: count, sha256: text })),
    signature: orNull('object'),
    quarantine: orNull('object'),
    approvals: object({ approvals: list({ type: 'object' }), break_glass: list({ type: 'object' }) }),
    inputs: list(tensor),
    outputs: list(tensor),
    maxBatchSize: orNull('number'),
    manifest: orNull('object'),
    trial: orNull('object'),
    refusedFor: orNull('string'),
    facts: { type: 'object' },
  }),
  AuditEntries: object({
    entries: list(
      object({
        entry: object({
          seq: count,
          prev: text,
          ts: time,
          actor: text,
          action: text,
          subject: text,
          detail: { type: 'object' },
        }),
        hash: text,
      }),
    ),
  }),
  Activity: object({
    at_ms: count,
    bounds_s: list(count),
    versions: list(
      object({
        model: text,
        version: text,
        requests: count,
        faults: count,
        latency: histogram,
        queue_depth: count,
        inflight: count,
        batches: count,
        fill_sum: count,
      }),
    ),
    assignments: list(object({ route: text, variant: text, requests: count })),
    event_loop_lag: histogram,
    workers: record(count),
    processes: record(count),
  }),
} as const;
