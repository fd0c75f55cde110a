/**
 * A changed configuration: what would differ, and making it so without a stop.
 *
 *   file, SIGHUP, apply ─▶ read again ─▶ plan ─▶ written down ─▶ in force        wrong ─▶ nothing changes, and why is said
 *
 * Only options in `live` take effect in a running server; the plan names the others, which wait for the next start.
 *
 * Must not know where a configuration is read.
 */
import { configHash, withDecimalsAsText } from '../audit/config-hash.js';
import type { AuditLog } from '../audit/log.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import type { Log } from '../log.js';
import type { PlannedChange } from './plan.js';
import type { MovedKeys } from './plan-keys.js';

/** The configuration in force; rooms look at it when they need it. */
export interface LiveConfig {
  current: Config;
}

/** The text of a configuration file. */
export interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

export interface OptionChange {
  readonly option: string;
  readonly from: unknown;
  readonly to: unknown;
  /** It takes effect at once; otherwise at the next start. */
  readonly isLive: boolean;
}

export interface Plan {
  readonly options: readonly OptionChange[];
  readonly models: readonly PlannedChange[];
  /** Of models whose keys would be given other variants. */
  readonly keys: readonly MovedKeys[];
}

export interface ReloadOptions {
  readonly live: LiveConfig;
  /** Reads it again, or with another file. @throws INVALID_ARGUMENT with one line for each problem */
  readonly read: (file?: ConfigFile) => Config;
  readonly audit: AuditLog;
  readonly log: Log;
  /** What a configuration would do to models and callers. */
  readonly foresee: (next: Config) => Promise<Pick<Plan, 'models' | 'keys'>>;
  /** What files that it names say anew. @throws INVALID_ARGUMENT when one is wrong */
  readonly contents: (current: Config, next: Config) => readonly OptionChange[];
  /** Has the rooms look at the configuration in force. */
  readonly takeUp: (before: Config) => Promise<void>;
}

const live = [
  'auth.jwt',
  'models.version_policy',
  'models.keep_previous_ms',
  'model_overrides',
  'memory.model_budget_bytes',
  'readiness.models',
  'routes',
  'log.level',
] as const;

export class Reload {
  readonly #options: ReloadOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ReloadOptions) {
    this.#options = options;
  }

  /** What `apply` would change, or what would if this was the file. @throws INVALID_ARGUMENT when the configuration is wrong */
  async plan(file?: ConfigFile): Promise<Plan> {
    const next = this.#options.read(file);
    const { live: config, contents } = this.#options;
    const options = [...differences(config.current, next, ''), ...contents(config.current, next)];
    return { options, ...(await this.#options.foresee(merged(config.current, next))) };
  }

  /** Reads the configuration again and makes it so, one time after another. @throws what is wrong with it; then nothing has changed */
  apply(actor: string): Promise<Plan> {
    const applied = this.#last.then(() => this.#apply(actor));
    this.#last = applied.catch(() => {});
    return applied;
  }

  async #apply(actor: string): Promise<Plan> {
    const { live: config, audit, log, read, takeUp } = this.#options;
    let plan: Plan;
    try {
      plan = await this.plan();
    } catch (thrown) {
      const { message } = GatewayError.from(thrown);
      log.error('config.refused', { reason: message });
      await audit
        .append('config.refused', 'server', { reason: message.slice(0, 1000) }, actor)
        .catch((error: Error) => log.error('audit.failed', { error: error.message }));
      throw thrown;
    }
    const changed = plan.options.filter(({ isLive }) => isLive);
    for (const { option, isLive } of plan.options) if (!isLive) log.warn('config.needs_restart', { option });
    if (changed.length === 0) return plan;
    const next = merged(config.current, read());
    const detail = { options: changed.map(({ option }) => option), config_hash: configHash(withDecimalsAsText(next)) };
    await audit.append('config.applied', 'server', detail, actor);
    const before = config.current;
    config.current = next;
    await takeUp(before);
    log.info('config.applied', { options: detail.options.join(', ') });
    return plan;
  }
}

/** The configuration in force with the live options of the next one. */
function merged(current: Config, next: Config): Config {
  return {
    ...current,
    auth: next.auth,
    models: {
      ...current.models,
      version_policy: next.models.version_policy,
      keep_previous_ms: next.models.keep_previous_ms,
    },
    model_overrides: next.model_overrides,
    memory: next.memory,
    routes: next.routes,
    readiness: next.readiness,
    log: { ...current.log, level: next.log.level },
  };
}

const anyPorts = ['http.port', 'grpc.port'];

type Group = Readonly<Record<string, unknown>>;

/** What nobody is to be shown. */
const secrets: readonly string[] = ['admin.token', 'admin.tokens'];

function differences(from: unknown, to: unknown, path: string): OptionChange[] {
  if (JSON.stringify(from) === JSON.stringify(to)) return [];
  // "Any free one" is what it got.
  if (to === 0 && anyPorts.includes(path)) return [];
  if (secrets.includes(path)) return [{ option: path, from: '***', to: '***', isLive: false }];
  const isLive = live.some((option) => option === path);
  if (isLive || !isGroup(from) || !isGroup(to)) return [{ option: path, from, to, isLive }];
  return Object.keys(from).flatMap((key) => differences(from[key], to[key], path === '' ? key : `${path}.${key}`));
}

function isGroup(value: unknown): value is Group {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
