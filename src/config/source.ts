/**
 * The text of a configuration file → its values by option path, each with its line.
 *
 * YAML 1.2 and so also JSON. Aliases and size are bounded, and what YAML only warns about (a tag nobody knows) is a problem.
 *
 * Must not know what the values mean: only which paths are groups.
 */
import { isMap, isScalar, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml';
import type { Problem } from './load.js';
import { optionByPath, options } from './options.js';

export interface Entry {
  readonly path: string;
  readonly value: unknown;
  readonly line: number;
}

const fileBytesMax = 1 << 20;
const aliasesMax = 100;

export function openSource(name: string, text: string): { entries: readonly Entry[]; problems: readonly Problem[] } {
  if (text.length > fileBytesMax) {
    return {
      entries: [],
      problems: [{ where: name, message: `expected at most ${fileBytesMax} bytes, got ${text.length}` }],
    };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    const problems = faults.map((fault) => ({
      where: `${name}:${lines.linePos(fault.pos[0]).line}`,
      message: `expected YAML, got ${fault.message.split('\n')[0]}`,
    }));
    return { entries: [], problems };
  }
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return { entries: [], problems: [] };
  if (!isMap(root)) return { entries: [], problems: [{ where: `${name}:1`, message: 'expected keys and values' }] };
  const problems: Problem[] = [];
  const entries: Entry[] = [];
  const lineOf = (node: Node) => lines.linePos(node.range?.[0] ?? 0).line;
  const toValue = (node: Node) => node.toJS(document, { maxAliasCount: aliasesMax });

  function walk(map: YAMLMap, prefix: string): void {
    for (const { key, value } of map.items) {
      const path = `${prefix}${isScalar(key) ? String(key.value) : '?'}`;
      const line = lineOf(key as Node);
      if (isMap(value) && !optionByPath.has(path) && isGroup(path)) walk(value, `${path}.`);
      else if (isGroup(path) && !optionByPath.has(path)) takeGroup(path, value as Node | null, line);
      else entries.push({ path, value: value === null ? null : toValue(value as Node), line });
    }
  }

  /** A group without members is what stays when all of them are commented out. */
  function takeGroup(path: string, value: Node | null, line: number): void {
    if (value === null || (isScalar(value) && value.value === null)) return;
    problems.push({ where: `${name}:${line}: ${path}`, message: 'expected a group of options, got a single value' });
  }

  try {
    walk(root, '');
  } catch (error) {
    problems.push({ where: name, message: `expected at most ${aliasesMax} aliases, got ${(error as Error).message}` });
  }
  return { entries, problems };
}

function isGroup(path: string): boolean {
  return options.some((option) => option.path.startsWith(`${path}.`));
}
