/**
 * Whether a statement that somebody wrote may run: one SELECT over the views and nothing else. It is judged by its syntax
 * tree, as DuckDB itself parsed it, so that no way of writing it gets past.
 *
 * Tables are the views and what the statement names by WITH; table functions are those that make rows of nothing. DuckDB is
 * locked besides: what this misses meets a closed door.
 *
 * Must not know DuckDB's library.
 */
import { invalid } from '../core/errors.js';

const tableFunctions = new Set(['range', 'generate_series', 'unnest', 'repeat']);
const sources = new Set([
  'EMPTY',
  'BASE_TABLE',
  'JOIN',
  'SUBQUERY',
  'TABLE_FUNCTION',
  'EXPRESSION_LIST',
  'SHOW_REF',
  'PIVOT',
]);
/** They tell of the machine, or act. */
const functions = new Set([
  'current_setting',
  'getvariable',
  'write_log',
  'getenv',
  'nextval',
  'currval',
  'parse_path',
]);

type Node = Readonly<Record<string, unknown>>;

/**
 * @param tree what `json_serialize_sql` made of the statement
 * @throws INVALID_ARGUMENT when it may not run
 */
export function checkConfined(tree: string, views: readonly string[]): void {
  const root = JSON.parse(tree) as Node;
  if (root.error === true) throw invalid(`query: ${refusalOf(root)}`);
  const statements = root.statements as readonly unknown[];
  if (statements.length !== 1) throw invalid(`query: expected one statement, got ${statements.length}`);
  const nodes = [...nodesOf(statements[0])];
  const named = new Set(views);
  for (const { cte_map } of nodes) {
    for (const name of namesOf(cte_map)) {
      // Any other text could be the name of a file where the WITH is not in force.
      if (!/^[a-z_][a-z0-9_]{0,63}$/.test(name)) throw invalid(`query: '${name}' cannot be named by WITH`);
      named.add(name);
    }
  }
  for (const node of nodes) checkNode(node, named);
}

function refusalOf({ error_type, error_message }: Node): string {
  const text = String(error_message);
  return error_type === 'not implemented' ? 'only SELECT may be asked of the log' : text;
}

/** Every object of the tree. An explicit stack, for a statement can be nested as deep as its author likes. */
function* nodesOf(root: unknown): Generator<Node> {
  const stack: unknown[] = [root];
  while (stack.length > 0) {
    const top = stack.pop();
    if (typeof top !== 'object' || top === null) continue;
    if (!Array.isArray(top)) yield top as Node;
    for (const part of Object.values(top)) stack.push(part);
  }
}

function namesOf(cteMap: unknown): string[] {
  const { map = [] } = (cteMap ?? {}) as { map?: readonly { key: string }[] };
  return map.map(({ key }) => key.toLowerCase());
}

function checkNode(node: Node, named: ReadonlySet<string>): void {
  if (typeof node.function_name === 'string' && node.class === 'FUNCTION') checkFunction(node.function_name);
  if (!isSource(node)) return;
  if (!sources.has(node.type as string)) throw invalid(`query: ${node.type} is not allowed`);
  if (node.type === 'BASE_TABLE') checkTable(node, named);
  if (node.type === 'SHOW_REF' && node.query === null) throw invalid('query: only the views can be described');
  if (node.type === 'TABLE_FUNCTION') {
    const name = (node.function as Node | null)?.function_name;
    if (!tableFunctions.has(String(name).toLowerCase())) throw invalid(`query: function '${name}' is not allowed`);
  }
}

/** What stands in a FROM has a sample; nothing else has both. */
function isSource(node: Node): boolean {
  return 'sample' in node && 'alias' in node && typeof node.type === 'string';
}

function checkTable({ table_name, schema_name, catalog_name }: Node, named: ReadonlySet<string>): void {
  const isPlain = schema_name === '' && catalog_name === '';
  if (!isPlain || !named.has(String(table_name).toLowerCase())) {
    throw invalid(`query: table '${table_name}' is none of the log's`);
  }
}

function checkFunction(name: string): void {
  if (functions.has(name.toLowerCase())) throw invalid(`query: function '${name}' is not allowed`);
}
