/**
 * The columns of the prediction log, and an event as rows of them: one for each item.
 *
 * `model` and `date` are not among them: they are folders, which readers turn into columns.
 *
 * Must not know files or SQL's engine.
 */
import { type Cell, itemCells, itemJson, type Payload } from './payload.js';
import type { LoggedEvent } from './record.js';
import type { FeatureColumn, FeatureType, SubjectRecord } from './subject.js';

export type ColumnType = FeatureType | 'TINYINT' | 'SMALLINT' | 'INTEGER' | 'TIMESTAMP';

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** Of inputs or outputs: what is given up first. */
  readonly isPayload: boolean;
}

const plain: Readonly<Record<string, ColumnType>> = {
  request_id: 'VARCHAR',
  item_index: 'INTEGER',
  client_request_id: 'VARCHAR',
  trace_id: 'VARCHAR',
  parent_request_id: 'VARCHAR',
  gateway_id: 'VARCHAR',
  incarnation: 'BIGINT',
  seq: 'BIGINT',
  log_schema: 'SMALLINT',
  ts: 'TIMESTAMP',
  latency_us: 'INTEGER',
  queue_us: 'INTEGER',
  upstream_us: 'INTEGER',
  batch_size: 'SMALLINT',
  version: 'VARCHAR',
  artifact_sha256: 'VARCHAR',
  config_hash: 'VARCHAR',
  backend: 'VARCHAR',
  role: 'VARCHAR',
  experiment: 'VARCHAR',
  phase: 'INTEGER',
  variant_assigned: 'VARCHAR',
  variant_served: 'VARCHAR',
  route_reason: 'VARCHAR',
  unit_key_hash: 'VARCHAR',
  sticky: 'BOOLEAN',
  status: 'SMALLINT',
  error_code: 'VARCHAR',
  attempt: 'TINYINT',
  cache_hit: 'BOOLEAN',
  prediction: 'VARCHAR',
  score: 'DOUBLE',
  input_bytes: 'INTEGER',
  output_bytes: 'INTEGER',
  content_type: 'VARCHAR',
  sample_rate: 'DOUBLE',
  payload_rate: 'DOUBLE',
  truncated: 'BOOLEAN',
  redacted: 'BOOLEAN',
};

const payloadNames = ['input_json', 'outputs_json'];

/** Those of every row. */
export const fixedColumns: readonly Column[] = [
  ...Object.entries(plain).map(([name, type]) => ({ name, type, isPayload: false })),
  ...payloadNames.map((name) => ({ name, type: 'VARCHAR' as const, isPayload: true })),
];

export const labelColumns: Readonly<Record<string, ColumnType>> = {
  request_id: 'VARCHAR',
  item_index: 'INTEGER',
  label_key: 'VARCHAR',
  label: 'VARCHAR',
  label_ts: 'TIMESTAMP',
  received_ts: 'TIMESTAMP',
  source: 'VARCHAR',
  weight: 'DOUBLE',
};

export function isPayloadColumn(name: string): boolean {
  return name.startsWith('f_') || payloadNames.includes(name);
}

/** The columns of rows of these features; one that two versions declare differently is text. */
export function columnsWith(features: Iterable<FeatureColumn>): Column[] {
  const types = new Map<string, ColumnType>();
  for (const { column, type } of features) {
    const before = types.get(column) ?? type;
    types.set(column, before === type ? type : 'VARCHAR');
  }
  return [...fixedColumns, ...[...types].map(([name, type]) => ({ name, type, isPayload: true }))];
}

export type Row = Readonly<Record<string, Cell | undefined>>;

export interface RowOrigin {
  readonly gatewayId: string;
  readonly incarnation: number;
}

/** An event of more items is cut, and marked so. */
const itemsMax = 10_000;
const smallintMax = 32_767;
const integerMax = 0x7fffffff;

export function rowsOf(
  event: LoggedEvent,
  subject: SubjectRecord,
  payload: Payload | undefined,
  origin: RowOrigin,
): Row[] {
  const items = Math.max(1, event.items);
  const shown = Math.min(items, itemsMax);
  const common = commonOf(event, subject, origin, shown < items);
  const rows: Row[] = [];
  for (let item = 0; item < shown; item++) {
    rows.push({ ...common, item_index: item, ...payloadCells(payload, subject, item, items) });
  }
  return rows;
}

function commonOf(event: LoggedEvent, subject: SubjectRecord, origin: RowOrigin, isCut: boolean): Row {
  const { route } = event;
  return {
    request_id: event.requestId,
    client_request_id: event.clientRequestId,
    trace_id: event.traceId,
    parent_request_id: event.parentRequestId,
    gateway_id: origin.gatewayId,
    incarnation: origin.incarnation,
    seq: event.seq,
    log_schema: 1,
    ts: event.tsUs,
    latency_us: event.latencyUs,
    queue_us: event.queueUs,
    upstream_us: event.upstreamUs,
    batch_size: Math.min(event.batchSize, smallintMax),
    model: subject.model,
    version: subject.version,
    artifact_sha256: subject.artifactSha256,
    config_hash: subject.configHash,
    backend: subject.backend,
    role: event.role,
    // A shadow of a model without an experiment has a variant all the same.
    experiment: route?.experiment === '' ? undefined : route?.experiment,
    phase: route === undefined ? undefined : Math.min(route.phase, integerMax),
    variant_assigned: route?.assigned,
    variant_served: route?.served,
    route_reason: route?.reason,
    unit_key_hash: event.unitKeyHash,
    sticky: route?.isSticky ?? false,
    status: event.status,
    error_code: event.errorCode,
    attempt: Math.min(event.attempt, 127),
    cache_hit: event.isCacheHit,
    prediction: event.prediction,
    score: event.score,
    input_bytes: event.inputBytes,
    output_bytes: event.outputBytes,
    content_type: event.contentType,
    sample_rate: event.sampleRate,
    payload_rate: event.payloadRate,
    truncated: event.isTruncated || isCut,
    redacted: event.isRedacted,
  };
}

function payloadCells(payload: Payload | undefined, subject: SubjectRecord, item: number, items: number): Row {
  if (payload === undefined) return {};
  const outputs_json = itemJson(payload.outputs, item, items);
  if (subject.features.length === 0) return { input_json: itemJson(payload.inputs, item, items), outputs_json };
  const cells: Record<string, Cell | undefined> = { outputs_json };
  for (const { column, input, index } of subject.features) {
    const tensor = payload.inputs.find(({ name }) => name === input);
    cells[column] = tensor === undefined ? undefined : itemCells(tensor, item, items)[index];
  }
  return cells;
}
