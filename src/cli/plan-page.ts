/**
 * A plan as lines: what a changed configuration loads, unloads and moves, and what callers would notice of it.
 *
 * Must not know who planned it.
 */
import { harmless } from './text.js';

interface ContractChange {
  readonly what: string;
  readonly from?: string;
  readonly to?: string;
  /** The rule that it breaks. */
  readonly rule?: string;
}

interface ModelChange {
  readonly model: string;
  readonly loads: readonly string[];
  readonly unloads: readonly string[];
  readonly champion: { readonly from: string | null; readonly to: string | null } | null;
  readonly contract: {
    readonly from: string;
    readonly to: string;
    readonly changes: readonly ContractChange[] | null;
    readonly unknown: string;
    readonly isRefused: boolean;
  } | null;
  readonly memoryBytes: Readonly<Record<string, number>>;
}

export interface PlanAnswer {
  readonly options: readonly {
    readonly option: string;
    readonly from: unknown;
    readonly to: unknown;
    readonly isLive: boolean;
  }[];
  readonly models: readonly ModelChange[];
  readonly keys: readonly { readonly model: string; readonly share: number }[];
}

/** @param nothing what is said when there are no lines */
export function planText({ options, models, keys }: PlanAnswer, nothing: string): string {
  const lines = options.map(({ option, from, to, isLive }) => {
    const when = isLive ? '' : '   (at the next start)';
    return `~ ${option}: ${JSON.stringify(from)} → ${JSON.stringify(to)}${when}`;
  });
  lines.push(...models.flatMap(modelLines));
  for (const { model, share } of keys)
    lines.push(`% ${model}: about ${(100 * share).toFixed(1)} % of keys are given another variant`);
  return lines.length === 0 ? `${nothing}\n` : `${lines.map(harmless).join('\n')}\n`;
}

function modelLines(change: ModelChange): string[] {
  const { model, loads, unloads, champion, contract, memoryBytes } = change;
  const lines = loads.map((version) => `+ ${model} version ${version} is loaded${memoryText(memoryBytes[version])}`);
  if (contract?.isRefused === true)
    lines.push(
      `! ${model} version ${contract.to} is not to take the place of ${contract.from} unless allow_breaking says so`,
    );
  else if (champion !== null)
    lines.push(`> ${model} is answered by version ${champion.to}, was ${champion.from ?? 'none'}`);
  if (contract !== null) lines.push(...contractLines(contract));
  return [...lines, ...unloads.map((version) => `- ${model} version ${version} is unloaded`)];
}

function contractLines({ changes, unknown }: NonNullable<ModelChange['contract']>): string[] {
  if (changes === null) return [`    inputs and outputs cannot be compared: ${unknown}`];
  return changes.map(({ what, from = 'none', to = 'none', rule }) => {
    const breach = rule === undefined ? '' : `   (${rule})`;
    return `    ${what}: ${from} → ${to}${breach}`;
  });
}

function memoryText(bytes: number | undefined): string {
  return bytes === undefined ? '' : `, about ${Math.ceil(bytes / 2 ** 20)} MiB in each process`;
}
