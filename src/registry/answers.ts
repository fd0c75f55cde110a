/**
 * Which versions answer: chosen from the records, written down, sent to all processes as one table, and remembered for the
 * next start.
 *
 *   records ─ choose ─▶ champion, labels ─ publish ─▶ record (on disk) ─▶ table ─▶ remember
 *
 * A change that cannot be written down does not happen. Tables go out in the order in which they were made.
 *
 * Must not know how a version is brought, or why a choice was made.
 */
import type { VersionSpec } from '../core/model.js';
import type { Route, RouteTable } from '../core/route.js';
import type { Records } from './records.js';
import type { RegistryOptions, Relabelling, Remembered } from './registry-options.js';
import { championOf, isServed, labelsOf, type ModelRecord, routeOf, type VersionRecord } from './versions.js';

type AnswersOptions = Pick<
  RegistryOptions,
  | 'policy'
  | 'publish'
  | 'record'
  | 'recordLabel'
  | 'remember'
  | 'remembered'
  | 'breaches'
  | 'isBreakingAllowed'
  | 'withheld'
  | 'readiness'
>;

interface Answer {
  readonly version: string | undefined;
  readonly previous: string | undefined;
  readonly spec: VersionSpec | undefined;
}

type Labels = Readonly<Record<string, string>>;

export class Answers {
  readonly #records: Records;
  readonly #options: AnswersOptions;
  /** What was published last, by model. */
  readonly #answering = new Map<string, Answer>();
  /** Labels besides champion as they were written down last, by model. */
  readonly #labels = new Map<string, Labels>();
  /** What the last table was made of, by model. */
  readonly #sent = new Map<string, string>();
  #generation = 0;
  #degraded = '';
  #published: Promise<void> = Promise.resolve();

  constructor(records: Records, options: AnswersOptions) {
    this.#records = records;
    this.#options = options;
  }

  /**
   * Who answers callers that name no version.
   * @param decided what an operator dealt with: nothing; what differs in inputs and outputs; or all that could be objected
   */
  choose(model: ModelRecord, decided: 'nothing' | 'contract' | 'all' = 'nothing'): void {
    const next = model.isUnloaded ? undefined : championOf(model);
    const to = model.versions.get(next ?? '');
    if (to !== undefined && next !== model.champion && decided !== 'all') {
      const objection = this.#breach(model, to, decided === 'contract') || this.#withheld(model, to, 'champion');
      if (objection !== '') {
        to.reason = `not the default, because it ${objection}`;
        model.labels = labelsOf(model);
        return;
      }
    }
    if (next !== undefined && model.champion !== undefined && next !== model.champion) model.previous = model.champion;
    model.champion = next;
    model.labels = labelsOf(model);
  }

  /** @param isDealtWith an operator knows that they differ; whoever must agree to that must all the same */
  #breach(model: ModelRecord, to: VersionRecord, isDealtWith: boolean): string {
    const { breaches, isBreakingAllowed } = this.#options;
    const from = model.versions.get(model.champion ?? '');
    if (from?.spec === undefined || to.spec === undefined || !isServed(from)) return '';
    const broken = breaches(from.spec, to.spec);
    if (broken.length === 0) return '';
    if (isDealtWith || isBreakingAllowed(model.name)) return this.#withheld(model, to, 'breaking');
    return `differs from ${from.id.version}: ${broken.join('; ')}`;
  }

  /** What answered before may always answer again. */
  #withheld({ previous }: ModelRecord, { id, spec }: VersionRecord, action: 'champion' | 'breaking'): string {
    return id.version === previous ? '' : this.#options.withheld(id, spec, undefined, action);
  }

  /** Whether the last table was made of another route of this model, or of other content, than what is known now. */
  isStale(model: ModelRecord): boolean {
    return sentOf(model) !== this.#sent.get(model.name);
  }

  /** By which content the version that answers was published; undefined = it was not opened then. */
  publishedSpecOf(model: string): VersionSpec | undefined {
    return this.#answering.get(model)?.spec;
  }

  /** Sends the table of what is known now to all processes. */
  publish(reason: string): Promise<void> {
    const result = this.#published.then(() => this.#sendTable(reason));
    this.#published = result.catch(() => {});
    return result;
  }

  /** Sources that do not answer; empty = all do. Told with every table. */
  async degrade(reason: string): Promise<void> {
    if (reason === this.#degraded) return;
    this.#degraded = reason;
    await this.publish('degraded');
  }

  remember(): Promise<void> {
    const kept: Record<string, Remembered[string]> = { ...this.#options.remembered };
    for (const model of this.#records.models()) {
      const { name, champion, previous, labels, choice } = model;
      kept[name] = { champion, previous, answered: answeredIn(model), labels, choice };
    }
    return this.#options.remember(kept);
  }

  async #sendTable(reason: string): Promise<void> {
    const changed = [...this.#records.models()].filter((model) => {
      const last = this.#answering.get(model.name);
      const { spec } = answerOf(model);
      return last?.version !== model.champion || (last?.spec !== spec && spec !== undefined);
    });
    const relabelled = [...this.#records.models()].filter(
      (model) => changesOf(this.#labelsOf(model), model).length > 0,
    );
    this.#generation++;
    await Promise.all(changed.map((model) => this.#writeDown(model, reason)));
    await Promise.all(relabelled.map((model) => this.#writeLabels(model, reason)));
    await this.#options.publish(this.#table());
    for (const model of changed) this.#answering.set(model.name, answerOf(model));
    if (changed.length > 0 || relabelled.length > 0) await this.remember();
  }

  #labelsOf({ name }: ModelRecord): Labels {
    return this.#labels.get(name) ?? this.#options.remembered[name]?.labels ?? {};
  }

  /** A label that cannot be written down stays where it was. */
  async #writeLabels(model: ModelRecord, reason: string): Promise<void> {
    const before = this.#labelsOf(model);
    const { champion, ...others } = model.labels;
    try {
      for (const change of changesOf(before, model))
        await this.#options.recordLabel({ model: model.name, ...change, reason });
      this.#labels.set(model.name, others);
    } catch (error) {
      model.labels = { ...before, ...(champion !== undefined && { champion }) };
      throw error;
    }
  }

  async #writeDown(model: ModelRecord, reason: string): Promise<void> {
    const last = this.#answering.get(model.name);
    const { version, spec } = answerOf(model);
    try {
      await this.#options.record({
        model: model.name,
        version,
        previous: last?.version,
        spec,
        generation: this.#generation,
        reason,
      });
    } catch (error) {
      model.champion = last?.version;
      model.previous = last?.previous;
      model.labels = labelsOf(model);
      throw error;
    }
  }

  #table(): RouteTable {
    const routes: Record<string, Route> = {};
    for (const model of this.#records.models()) {
      routes[model.name] = routeOf(model);
      this.#sent.set(model.name, sentOf(model));
    }
    const missing = this.#missing();
    const isReady = missing.length === 0;
    const reason = isReady ? this.#degraded : `no ready version of ${missing.slice(0, 5).join(', ')}`;
    return { generation: this.#generation, routes, isReady, reason, isDegraded: this.#degraded !== '' };
  }

  /** Models that keep the server from being ready. */
  #missing(): string[] {
    const { policy } = this.#options;
    const readiness = this.#options.readiness();
    if (readiness === 'all' && policy === 'explicit') return [];
    const names = readiness === 'all' ? [...this.#records.names()] : readiness;
    return names.filter((name) => {
      const model = this.#records.find(name);
      return model === undefined || (!model.isUnloaded && ![...model.versions.values()].some(isServed));
    });
  }
}

/** Labels other than the one that a publication is about. */
function changesOf(before: Labels, { labels }: ModelRecord): Pick<Relabelling, 'label' | 'version' | 'previous'>[] {
  const names = new Set([...Object.keys(before), ...Object.keys(labels)]);
  names.delete('champion');
  return [...names].flatMap((label) => {
    const [previous, version] = [before[label], labels[label]];
    return previous === version ? [] : [{ label, version, previous }];
  });
}

/** Other content under the same number is written down as well, and whoever has a share of a route is looked at again. */
function sentOf(model: ModelRecord): string {
  return JSON.stringify([routeOf(model), [...model.versions.values()].map(({ spec }) => spec?.artifact?.sha256)]);
}

/** By which content the version that answers, and the one before, were published. */
function answeredIn({ champion, previous, versions, answered }: ModelRecord): Record<string, string> {
  const found: Record<string, string> = {};
  for (const version of [champion, previous]) {
    if (version === undefined) continue;
    const sha256 = versions.get(version)?.spec?.artifact?.sha256 ?? answered[version];
    if (sha256 !== undefined) found[version] = sha256;
  }
  return found;
}

function answerOf({ champion, previous, versions }: ModelRecord): Answer {
  return { version: champion, previous, spec: versions.get(champion ?? '')?.spec };
}
