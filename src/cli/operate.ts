/**
 * `sluice models load | unload | promote | …`, `sluice plan`, `sluice apply`: an operation on a running gateway, and what is so
 * afterwards, for people.
 *
 * Must not know how it is carried out.
 */
import { ask } from './ask.js';
import { type PlanAnswer, planText } from './plan-page.js';
import { harmless, table } from './text.js';
import { type VersionAnswer, versionText } from './version-page.js';

export interface Gateway {
  /** Of the control port. */
  readonly url: string;
  readonly token: string | undefined;
}

interface ShownVersion {
  readonly version: string;
  readonly state: string;
  readonly reason: string;
  readonly sha256: string;
  readonly signature: { readonly status: string; readonly by: string } | null;
  readonly facts: { readonly tags: Readonly<Record<string, string>>; readonly description: string };
}

interface ShownModel {
  readonly name: string;
  readonly source: string;
  readonly champion: string | null;
  readonly previous: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly choice: {
    readonly aliases: Readonly<Record<string, string>>;
    readonly pins: readonly string[];
    readonly hold?: { readonly version: string; readonly to: string };
  };
  readonly versions: readonly ShownVersion[];
}

/** A load may take as long as a trial and a pull. */
const timeoutMs = 600_000;

function addressOf({ url }: Gateway, path: string): string {
  return `${url.replace(/\/+$/, '')}/admin/${path}`;
}

export async function showModel(model: string, gateway: Gateway): Promise<string> {
  const url = addressOf(gateway, `models/${encodeURIComponent(model)}`);
  return modelText((await ask({ url, token: gateway.token, of: 'the control port' })) as ShownModel);
}

export async function showVersion(model: string, version: string, gateway: Gateway): Promise<string> {
  const url = addressOf(gateway, `models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`);
  return versionText((await ask({ url, token: gateway.token, of: 'the control port' })) as VersionAnswer);
}

/** @param verb load, unload, promote, release, rollback, approve, pin, unpin, forgive */
export async function operateModel(verb: string, model: string, body: object, gateway: Gateway): Promise<string> {
  const url = addressOf(gateway, `models/${encodeURIComponent(model)}/${verb}`);
  return modelText((await post(url, body, gateway)) as ShownModel);
}

function post(url: string, body: object, { token }: Gateway): Promise<unknown> {
  return ask({ url, method: 'POST', body: JSON.stringify(body), token, of: 'the control port', timeoutMs });
}

function modelText(shown: ShownModel): string {
  const { name, source, champion, previous, labels, choice, versions } = shown;
  const lines = [`${name} from source ${source}: version ${champion ?? 'none'} answers by default`];
  if (previous !== null) lines.push(`before that: version ${previous}`);
  if (choice.hold !== undefined)
    lines.push(`version ${choice.hold.version} is held back after a rollback, until it changes or is promoted`);
  if (choice.pins.length > 0) lines.push(`pinned: ${choice.pins.join(', ')}`);
  const head = ['VERSION', 'STATE', 'LABELS', 'DIGEST', 'SIGNATURE', 'TAGS', 'REASON'];
  const rows = versions.map(({ version, state, sha256, signature, facts, reason }) => [
    version,
    state,
    Object.keys(labels)
      .filter((label) => labels[label] === version)
      .join(','),
    sha256.slice(0, 12),
    signature === null || signature.status === 'unchecked' ? '' : `${signature.status} ${signature.by}`.trim(),
    Object.entries(facts.tags)
      .map(([tag, value]) => (value === '' ? tag : `${tag}=${value}`))
      .join(' '),
    reason,
  ]);
  return `${lines.map(harmless).join('\n')}\n${table([head, ...rows])}`;
}

export async function pollSource(source: string, acceptOlder: boolean, gateway: Gateway): Promise<string> {
  await post(addressOf(gateway, `sources/${encodeURIComponent(source)}/poll`), { accept_older: acceptOlder }, gateway);
  return `source ${harmless(source)} is asked now\n`;
}

export async function collectGarbage(graceMs: number, gateway: Gateway): Promise<string> {
  const answer = await post(addressOf(gateway, 'gc'), { grace_ms: graceMs }, gateway);
  const { removed, bytes } = answer as { removed: readonly string[]; bytes: number };
  if (removed.length === 0) return 'nothing to remove: everything in the store is needed, or was until lately\n';
  return `${removed.map((line) => `removed ${harmless(line)}\n`).join('')}${bytes} bytes freed\n`;
}

/** What would change if the gateway read its configuration again, or had this file. */
export async function showPlan(gateway: Gateway, file?: { name: string; text: string }): Promise<string> {
  const url = addressOf(gateway, 'plan');
  if (file !== undefined) return planText((await post(url, file, gateway)) as PlanAnswer, 'nothing would change');
  return planText(
    (await ask({ url, token: gateway.token, of: 'the control port' })) as PlanAnswer,
    'nothing would change',
  );
}

/** Has the gateway read its configuration again. */
export async function applyPlan(gateway: Gateway): Promise<string> {
  return planText((await post(addressOf(gateway, 'apply'), {}, gateway)) as PlanAnswer, 'nothing has changed');
}
