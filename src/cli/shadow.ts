/**
 * `sluice shadow ls | show`: what the shadows of a running gateway have found, for people.
 *
 * Must not know how answers are compared.
 */
import type { Command } from 'commander';
import type { ShadowDocument } from '../control/shadow-document.js';
import { ask } from './ask.js';
import { Exit } from './exit.js';
import { harmless, table } from './text.js';

const examples = `
A shadow sees a copy of a route's requests; its answers are compared and thrown away. Times and differences are
shadow − primary. Counts begin with each gateway process and with each change of the shadow.

Examples:
  $ sluice shadow ls
  $ sluice shadow show digits
  $ sluice shadow show digits --json | jq .shadows[0].worst`;

interface Where {
  readonly url: string;
  readonly json?: boolean | undefined;
}

const controlPort = 'http://127.0.0.1:8002';

export function addShadowCommands(program: Command, env: NodeJS.ProcessEnv, write: (text: string) => void): void {
  const shadow = program.command('shadow').description('Show what shadows have found.').addHelpText('after', examples);
  const asking = (name: string, description: string) =>
    shadow
      .command(name)
      .description(description)
      .option('--url <url>', 'The control port.', controlPort)
      .option('--json', 'Print the answer as it is.');
  asking('ls', 'All shadows, a line each.').action(async ({ url, json }: Where) => {
    const all = await shadowsOf(url, env.SLUICE_ADMIN_TOKEN);
    write(json === true ? jsonText(all) : listText(all));
  });
  asking('show <route>', 'One route: how its shadows agree with what answered.').action(
    async (route: string, { url, json }: Where) => {
      const all = (await shadowsOf(url, env.SLUICE_ADMIN_TOKEN)).filter((one) => one.route === route);
      if (all.length === 0)
        throw new Exit(1, `route '${route}' has no shadow; "sluice shadow ls" shows those there are`);
      write(json === true ? jsonText(all) : all.map(shadowText).join('\n'));
    },
  );
}

async function shadowsOf(url: string, token: string | undefined): Promise<readonly ShadowDocument[]> {
  const address = `${url.replace(/\/+$/, '')}/admin/shadows`;
  const answer = (await ask({ url: address, token, of: 'the control port' })) as { shadows?: unknown };
  if (!Array.isArray(answer.shadows)) throw new Exit(1, `what answers at ${url} is not the control port of a gateway`);
  return answer.shadows as readonly ShadowDocument[];
}

function jsonText(shadows: readonly ShadowDocument[]): string {
  return `${JSON.stringify({ shadows }, null, 2)}\n`;
}

export function listText(shadows: readonly ShadowDocument[]): string {
  if (shadows.length === 0) return 'no route has a shadow\n';
  const rows = shadows.map((one) => [
    one.route,
    one.shadow,
    `${one.model}@${one.version}`,
    String(one.pairs),
    percent(agreementIn(one)),
    String(one.outcomes.error + one.outcomes.timeout),
    number(one.latency_ms.mean),
  ]);
  return table([['ROUTE', 'SHADOW', 'VERSION', 'COMPARED', 'AGREE', 'FAILED', 'LATENCY_MS'], ...rows]);
}

/** Of all items of all outputs that were compared. */
function agreementIn({ outputs }: ShadowDocument): number | null {
  let [agreed, items] = [0, 0];
  for (const output of outputs) {
    agreed += (output.agreement ?? 0) * output.items;
    items += output.items;
  }
  return items === 0 ? null : agreed / items;
}

/** One shadow: what became of its copies, how each output compares, and the worst examples. */
export function shadowText(shadow: ShadowDocument): string {
  const { route, outcomes, pairs, mismatched_pairs, status_mismatches, latency_ms } = shadow;
  const happened = Object.entries(outcomes).filter(([, count]) => count > 0);
  const parts = [
    `${harmless(route)} ⇢ ${harmless(shadow.shadow)} (${harmless(shadow.model)} version ${shadow.version})\n`,
    `requests    ${happened.length === 0 ? 'none yet' : happened.map(([outcome, count]) => `${outcome} ${count}`).join(', ')}\n`,
    `compared    ${pairs}: ${mismatched_pairs} differ, ${status_mismatches} ended with another status\n`,
    `latency     ${number(latency_ms.mean)} ms against the primary (± ${number(latency_ms.std_sample)})\n`,
  ];
  if (shadow.outputs.length > 0) parts.push('\n', outputsText(shadow));
  if (shadow.worst.length > 0) parts.push('\n', worstText(shadow));
  return parts.join('');
}

function outputsText({ outputs }: ShadowDocument): string {
  const head = ['OUTPUT', 'ITEMS', 'AGREE', 'MATCH', 'ARGMAX', 'LABEL', 'KAPPA', 'MAX_DIFF', 'RMSE', 'JS_BITS'];
  const rows = outputs.map((one) => [
    one.output,
    String(one.items),
    percent(one.agreement),
    percent(one.match_rate),
    percent(one.argmax_agree),
    percent(one.label_agreement),
    number(one.cohen_kappa),
    number(one.measures.max_abs_diff.max),
    number(one.measures.rmse.mean),
    number(one.measures.js_distance_bits.mean),
  ]);
  return table([head, ...rows]);
}

const shownMax = 10;

function worstText({ worst }: ShadowDocument): string {
  const rows = worst
    .slice(0, shownMax)
    .map((one) => [
      one.request_id,
      one.output,
      String(one.item),
      number(one.max_abs_diff),
      one.primary_label ?? '',
      one.shadow_label ?? '',
    ]);
  return table([['WORST REQUEST', 'OUTPUT', 'ITEM', 'MAX_DIFF', 'PRIMARY', 'SHADOW'], ...rows]);
}

function percent(share: number | null): string {
  return share === null ? '-' : `${(100 * share).toFixed(2)} %`;
}

function number(value: number | null): string {
  if (value === null) return '-';
  return value === 0 || Math.abs(value) >= 1e-4 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}
