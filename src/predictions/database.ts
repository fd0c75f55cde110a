/**
 * DuckDB, as far as the log needs it: the only file that imports it.
 *
 *   openDatabase    may read and write files; runs our own statements only
 *   openConfined    may read files below one folder, and write one file at most; runs what people wrote, once it was checked
 *
 * A database lives for one job, so that nothing of it is left for the next.
 *
 * Must not know segments or the layout of folders.
 */
import {
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBTimestampValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import { GatewayError, invalid } from '../core/errors.js';
import type { Cell } from './payload.js';
import type { Column, ColumnType } from './rows.js';

export interface Answer {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
  /** There are more rows than were asked for. */
  readonly isCut: boolean;
}

const settings = {
  threads: '1',
  memory_limit: '256MB',
  autoinstall_known_extensions: 'false',
  autoload_known_extensions: 'false',
  preserve_insertion_order: 'true',
};
const rowsPerChunk = 2048;

export class Database {
  readonly #connection: DuckDBConnection;

  constructor(connection: DuckDBConnection) {
    this.#connection = connection;
  }

  /** @throws INVALID_ARGUMENT with DuckDB's own text, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED */
  async run(sql: string, values: readonly string[] = []): Promise<void> {
    await this.#guarded(() => this.#connection.run(sql, [...values]));
  }

  async ask(sql: string, rowsMax: number, values: readonly string[] = []): Promise<Answer> {
    const reader = await this.#guarded(() => this.#connection.streamAndReadUntil(sql, rowsMax + 1, [...values]));
    const types = reader.columnTypes().map(String);
    const names = reader.columnNames();
    const whole = reader.getRowsJson();
    const rows = whole.slice(0, rowsMax).map((row) => row.map((value, i) => plainNumber(value, types[i]!)));
    return { columns: names.map((name, i) => ({ name, type: types[i]! })), rows, isCut: whole.length > rowsMax };
  }

  async #guarded<Result>(call: () => Promise<Result>): Promise<Result> {
    try {
      return await call();
    } catch (error) {
      throw ours(error as Error);
    }
  }

  interrupt(): void {
    this.#connection.interrupt();
  }

  /** @param rows cells in the order of the columns */
  async append(
    table: string,
    columns: readonly Column[],
    rows: Iterable<readonly (Cell | undefined)[]>,
  ): Promise<void> {
    const appender = await this.#connection.createAppender(table);
    const types = Array.from(columns, (_, i) => appender.columnType(i));
    let held: DuckDBValue[][] = [];
    const flush = () => {
      if (held.length === 0) return;
      const chunk = DuckDBDataChunk.create(types, held.length);
      chunk.setRows(held);
      appender.appendDataChunk(chunk);
      held = [];
    };
    for (const row of rows) {
      held.push(row.map((cell, i) => duckValue(cell, columns[i]!.type)));
      if (held.length === rowsPerChunk) flush();
    }
    flush();
    appender.closeSync();
  }

  close(): void {
    this.#connection.closeSync();
  }
}

function duckValue(cell: Cell | undefined, type: ColumnType): DuckDBValue {
  if (cell === null || cell === undefined) return null;
  switch (type) {
    case 'VARCHAR':
      return String(cell);
    case 'BOOLEAN':
      return typeof cell === 'boolean' ? cell : typeof cell === 'number' ? cell !== 0 : null;
    case 'BIGINT':
      return integerOf(cell);
    case 'TIMESTAMP':
      return new DuckDBTimestampValue(BigInt(Math.round(Number(cell))));
    default:
      // A number that is not finite came as its name.
      return Number(cell);
  }
}

function integerOf(cell: Exclude<Cell, null>): bigint | null {
  if (typeof cell === 'string') return /^-?[0-9]{1,19}$/.test(cell) ? BigInt.asIntN(64, BigInt(cell)) : null;
  const number = Number(cell);
  return Number.isFinite(number) ? BigInt(Math.trunc(number)) : null;
}

const wholeNumbers = /^(BIGINT|UBIGINT|HUGEINT|UHUGEINT)$/;

/** Whole numbers come as text; those that JSON holds exactly become numbers. */
function plainNumber(value: unknown, type: string): unknown {
  if (typeof value !== 'string' || !wholeNumbers.test(type)) return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** DuckDB's errors begin with their kind; what is not about the statement itself gives nothing away. */
function ours(error: Error): GatewayError {
  const text = error.message.split('\n')[0]!;
  if (/^INTERRUPT/i.test(text)) return new GatewayError('DEADLINE_EXCEEDED', 'query stopped at its time limit');
  if (/^Out of Memory/i.test(text)) {
    return new GatewayError('RESOURCE_EXHAUSTED', 'query needs more memory than it may have', { cause: error });
  }
  if (
    /^(Parser|Binder|Catalog|Conversion|Invalid Input|Out of Range|Syntax|Mismatch Type|Not implemented)/i.test(text)
  ) {
    return invalid(`query: ${text}`);
  }
  if (/^Permission/i.test(text)) return new GatewayError('PERMISSION_DENIED', 'query may not reach beyond the log');
  return new GatewayError('INTERNAL', 'query failed', { cause: error });
}

/** @param directory for what does not fit into memory */
export async function openDatabase(directory: string): Promise<Database> {
  const database = await opened();
  await database.run(`SET temp_directory = ${quoted(directory)}`);
  await database.run("SET max_temp_directory_size = '4GB'");
  return database;
}

export interface Confinement {
  /** Below which files may be read. */
  readonly directory: string;
  /** The only file that may be written. */
  readonly output?: string;
  /** Views by their names. */
  readonly views: Readonly<Record<string, string>>;
}

export async function openConfined({ directory, output, views }: Confinement): Promise<Database> {
  const database = await opened();
  await database.run(`SET allowed_directories = [${quoted(`${directory}/`)}]`);
  if (output !== undefined) await database.run(`SET allowed_paths = [${quoted(output)}]`);
  await database.run("SET temp_directory = ''");
  await database.run('SET enable_external_access = false');
  for (const [name, sql] of Object.entries(views)) await database.run(`CREATE VIEW ${name} AS ${sql}`);
  await database.run('SET lock_configuration = true');
  return database;
}

async function opened(): Promise<Database> {
  const instance = await DuckDBInstance.create(':memory:', settings);
  const database = new Database(await instance.connect());
  await database.run("SET TimeZone = 'UTC'");
  return database;
}

/** A text as SQL writes it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
