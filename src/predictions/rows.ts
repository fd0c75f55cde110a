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

type MutableRow = Record<string, Cell | undefined>;
export type Row = Readonly<MutableRow>;

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
    const row: MutableRow = { ...common, item_index: item };
    if (payload !== undefined) putPayload(row, payload, subject, { item, items });
    rows.push(row);
  }
  return rows;
}

/**
 * Rows as lists of cells in the order of these columns, which is what a table takes: with objects a conversion took four times
 * as long. The same cells as `rowsOf` has.
 */
export class CellRows {
  readonly #columns: readonly Column[];
  readonly #places: ReadonlyMap<string, number>;
  /** Where the features of a subject go. */
  readonly #featurePlaces = new Map<SubjectRecord, Int32Array>();

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
    this.#places = new Map(columns.map(({ name }, place) => [name, place]));
  }

  of(
    event: LoggedEvent,
    subject: SubjectRecord,
    payload: Payload | undefined,
    origin: RowOrigin,
  ): (Cell | undefined)[][] {
    const items = Math.max(1, event.items);
    const shown = Math.min(items, itemsMax);
    const common = commonOf(event, subject, origin, shown < items);
    const shared = this.#columns.map(({ name }) => common[name]);
    const rows: (Cell | undefined)[][] = [];
    for (let item = 0; item < shown; item++) {
      const cells = shared.slice();
      cells[this.#places.get('item_index')!] = item;
      if (payload !== undefined) this.#putPayload(cells, payload, subject, { item, items });
      rows.push(cells);
    }
    return rows;
  }

  #putPayload(
    cells: (Cell | undefined)[],
    { inputs, outputs }: Payload,
    subject: SubjectRecord,
    { item, items }: ItemPlace,
  ): void {
    const { features } = subject;
    const places = this.#placesOf(subject);
    cells[this.#places.get('outputs_json')!] = itemJson(outputs, item, items);
    if (features.length === 0) cells[this.#places.get('input_json')!] = itemJson(inputs, item, items);
    const byInput = cellsByInput(inputs, { item, items });
    for (let i = 0; i < features.length; i++) {
      const { input, index } = features[i]!;
      cells[places[i]!] = byInput.get(input)?.[index];
    }
  }

  #placesOf(subject: SubjectRecord): Int32Array {
    let places = this.#featurePlaces.get(subject);
    if (places === undefined) {
      places = Int32Array.from(subject.features, ({ column }) => this.#places.get(column)!);
      this.#featurePlaces.set(subject, places);
    }
    return places;
  }
}

interface ItemPlace {
  readonly item: number;
  readonly items: number;
}

/** Once for each input: thousands of features may be of the same one. */
function cellsByInput(inputs: Payload['inputs'], { item, items }: ItemPlace): Map<string, readonly Cell[]> {
  return new Map(inputs.map((tensor) => [tensor.name, itemCells(tensor, item, items)]));
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

/** Cell by cell: to spread thousands of them into an object takes a time that grows with their square. */
function putPayload(
  row: MutableRow,
  { inputs, outputs }: Payload,
  { features }: SubjectRecord,
  { item, items }: ItemPlace,
): void {
  if (features.length === 0) row.input_json = itemJson(inputs, item, items);
  row.outputs_json = itemJson(outputs, item, items);
  const byInput = cellsByInput(inputs, { item, items });
  for (const { column, input, index } of features) row[column] = byInput.get(input)?.[index];
}
