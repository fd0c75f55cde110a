/**
 * The configuration as text: what is in force, which can be used as a file again, and what there is to set.
 *
 * Must not know where values come from, beyond the name of their origin.
 */
import { stringify } from 'yaml';
import type { Loaded } from '../config/load.js';
import { bytesText } from '../config/option.js';
import { type Option, options } from '../config/options.js';
import { harmless } from './text.js';

/** YAML of every option; with origins, each line says where its value came from. */
export function printConfig({ config, origins }: Loaded, withOrigins: boolean): string {
  const lines: { text: string; note: string }[] = [];
  let open: readonly string[] = [];
  for (const option of options) {
    const groups = option.path.split('.');
    const key = groups.pop()!;
    groups.forEach((group, depth) => {
      if (groups.slice(0, depth + 1).join('.') === open.slice(0, depth + 1).join('.')) return;
      lines.push({ text: `${'  '.repeat(depth)}${group}:`, note: '' });
    });
    open = groups;
    const value = shown(option, valueAt(config, option.path));
    lines.push({ text: `${'  '.repeat(groups.length)}${key}: ${value}`, note: origins.get(option.path) ?? '' });
  }
  const width = Math.min(60, Math.max(...lines.map(({ text }) => text.length)));
  const line = ({ text, note }: { text: string; note: string }) =>
    note === '' ? text : `${text.padEnd(width)}  # ${harmless(note)}`;
  return lines.map((one) => `${withOrigins ? line(one) : one.text}\n`).join('');
}

function valueAt(config: object, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], config);
}

function shown({ facts }: Option, value: unknown): string {
  if (facts.isSecret && !isNothing(value)) return '"***"';
  if (facts.isBytes) return bytesText(value as number);
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0, defaultStringType: 'PLAIN' }).trimEnd();
}

function isNothing(value: unknown): boolean {
  return value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
}

/** Every option, or those whose path or sentence contains the text. */
export function printOptions(search: string): string {
  const wanted = search.toLowerCase();
  const found = options.filter(({ path, facts }) => `${path} ${facts.description}`.toLowerCase().includes(wanted));
  if (found.length === 0) return `no option contains '${harmless(search)}'\n`;
  return found.map(printOption).join('\n');
}

function printOption(option: Option): string {
  const { path, flag, variable, facts, fallback } = option;
  const value = shown(option, fallback);
  return `${path}\n  ${facts.description}\n  Expected: ${facts.expected}; default: ${value === '""' ? 'none' : value}.\n  --${flag}  ${variable}\n`;
}
