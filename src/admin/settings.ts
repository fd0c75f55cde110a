/**
 * Trace and log settings that may change while serving (protocol §8.4, §8.5): what they are now, and what a change may say.
 *
 *   update(named values) → all of them checked → taken together → onChange(the new state) → all settings
 *
 * A change that is wrong in one value changes nothing. The texts are wire constants: clients compare them.
 *
 * Must not know what the settings do, or which models exist: whoever asks has checked the model's name.
 */
import { GatewayError, invalid } from '../core/errors.js';
import { nearest } from '../core/nearest.js';
import type { TracePlan, TraceTerms } from '../core/trace.js';
import { exactJson } from './json.js';
import { TraceBudget } from './trace-budget.js';

type Named = Readonly<Record<string, unknown>>;

export interface TraceSettings {
  readonly trace_level: readonly string[];
  readonly trace_rate: string;
  readonly trace_count: string;
  readonly log_frequency: string;
  readonly trace_file: string;
  readonly trace_mode: string;
}

const traceAtStart: TraceSettings = {
  trace_level: ['OFF'],
  trace_rate: '1000',
  trace_count: '-1',
  log_frequency: '0',
  trace_file: '',
  trace_mode: 'opentelemetry',
};

/** What the configuration says. */
export interface TraceStart {
  readonly isOn: boolean;
  readonly share: number;
  /** Gateway processes, among which a number of samples is shared out. */
  readonly processes: number;
}

export class TraceRoom {
  readonly #onChange: (model: string, settings: TraceSettings) => void;
  readonly #start: TraceSettings;
  readonly #startShare: number;
  #global: TraceSettings;
  /** Only what a model has of its own. */
  readonly #models = new Map<string, Partial<TraceSettings>>();
  readonly #processes: number;
  /** Where samples are limited, by the model whose settings say so; '' = the global ones. */
  readonly #budgets = new Map<string, TraceBudget>();
  /** What each process told of its samples, by the same. */
  readonly #totals = new Map<string, number[]>();

  /** @param onChange told what is in force now; model '' = every model without values of its own */
  constructor(onChange: (model: string, settings: TraceSettings) => void, start?: TraceStart) {
    this.#onChange = onChange;
    this.#start = start === undefined ? traceAtStart : startOf(start);
    this.#startShare = start?.share ?? 0;
    this.#processes = start?.processes ?? 1;
    this.#global = this.#start;
  }

  /** Who is traced by what is in force now. */
  plan(): TracePlan {
    const names = [...this.#models.keys()];
    return {
      all: this.#termsOf(''),
      ofModels: new Map(names.map((model) => [model, this.#termsOf(model)])),
    };
  }

  /** A share that is not one of a whole number stays what it is as long as nobody changes the rate. */
  #termsOf(model: string): TraceTerms {
    const { trace_level, trace_rate } = this.settings(model);
    const share = trace_rate === this.#start.trace_rate ? this.#startShare : 1 / Number(trace_rate);
    return {
      isOn: !trace_level.includes('OFF'),
      share,
      hasTensors: trace_level.includes('TENSORS'),
      caps: this.#budgets.get(model)?.caps,
    };
  }

  /** @param model '' = the global settings */
  settings(model: string): TraceSettings {
    const left = this.#budgets.get(this.#models.has(model) ? model : '')?.left;
    const settings = { ...this.#global, ...this.#models.get(model) };
    return left === undefined ? settings : { ...settings, trace_count: `${left}` };
  }

  /** @param process from 0 on. @param sampled since its start, by the model whose settings said so */
  told(process: number, sampled: Readonly<Record<string, number>>): void {
    for (const [model, total] of Object.entries(sampled)) {
      this.#totalsOf(model)[process] = total;
      if (this.#budgets.get(model)?.told(process, total)) this.#onChange(model, this.settings(model));
    }
  }

  /** Another process takes its place, which begins at nothing. */
  ended(process: number): void {
    for (const totals of this.#totals.values()) totals[process] = 0;
    for (const [model, budget] of this.#budgets) {
      budget.ended(process);
      this.#onChange(model, this.settings(model));
    }
  }

  #totalsOf(model: string): number[] {
    let totals = this.#totals.get(model);
    if (totals === undefined) {
      totals = new Array<number>(this.#processes).fill(0);
      this.#totals.set(model, totals);
    }
    return totals;
  }

  #limit(model: string, count: number): void {
    if (count < 0) this.#budgets.delete(model);
    else this.#budgets.set(model, new TraceBudget(count, this.#totalsOf(model)));
  }

  /** @throws what `update` would; it changes nothing */
  check(named: Named): void {
    checkedTrace(named);
  }

  /** @throws INVALID_ARGUMENT, UNIMPLEMENTED */
  update(model: string, named: Named): TraceSettings {
    const changes = checkedTrace(named);
    if (model === '') {
      const kept = Object.fromEntries(changes.map(([key, value]) => [key, value ?? this.#start[key]]));
      this.#global = { ...this.#global, ...kept };
      if ('trace_count' in kept) this.#limit('', Number(this.#global.trace_count));
    } else {
      // The first change of a model copies the global values, so that a later global change leaves the model alone.
      const before = this.#models.get(model);
      const own: Partial<Record<keyof TraceSettings, unknown>> = { ...(before ?? this.settings('')) };
      for (const [key, value] of changes) {
        if (value === undefined) delete own[key];
        else own[key] = value;
      }
      this.#models.set(model, own as Partial<TraceSettings>);
      if (before === undefined || changes.some(([key]) => key === 'trace_count'))
        this.#limit(model, Number(own.trace_count ?? this.settings('').trace_count));
    }
    const settings = this.settings(model);
    this.#onChange(model, settings);
    return settings;
  }

  /** A model that is gone has no settings of its own any more. */
  forget(model: string): void {
    this.#models.delete(model);
    this.#budgets.delete(model);
  }
}

/** A rate of 0, which nobody can ask for, stands for no request but those of traced callers. */
function startOf({ isOn, share }: TraceStart): TraceSettings {
  if (!isOn) return traceAtStart;
  return { ...traceAtStart, trace_level: ['TIMESTAMPS'], trace_rate: share === 0 ? '0' : `${Math.round(1 / share)}` };
}

/** @returns undefined as the value of a setting that is cleared */
function checkedTrace(named: Named): [keyof TraceSettings, string | readonly string[] | undefined][] {
  return Object.entries(named).map(([key, value]) => {
    if (!Object.hasOwn(traceAtStart, key)) throw unknownSetting('trace', key, Object.keys(traceAtStart));
    const setting = key as keyof TraceSettings;
    if (value === null || (Array.isArray(value) && value.length === 0)) return [setting, undefined];
    if (setting === 'trace_file') {
      throw new GatewayError('UNIMPLEMENTED', 'trace file location can not be updated through network protocol');
    }
    if (setting === 'trace_level') return [setting, checkedLevels(value)];
    if (setting === 'trace_rate') return [setting, checkedInteger(setting, value, 1)];
    if (setting === 'trace_count') return [setting, checkedInteger(setting, value, -1)];
    throw invalid(`trace setting '${setting}' is reported only and cannot be updated`);
  });
}

function checkedLevels(value: unknown): readonly string[] {
  const levels = typeof value === 'string' ? [value] : value;
  const isKnown = (level: unknown) => level === 'OFF' || level === 'TIMESTAMPS' || level === 'TENSORS';
  if (!Array.isArray(levels) || levels.length > 16 || !levels.every(isKnown)) {
    throw invalid(`Unable to parse 'trace_level', got: ${shown(value)}`);
  }
  const unique = [...new Set(levels as string[])];
  if (unique.includes('OFF') && unique.length > 1) throw invalid(`Expect only one trace level 'OFF' is specified`);
  return unique;
}

function checkedInteger(setting: string, value: unknown, min: number): string {
  const text = Array.isArray(value) && value.length === 1 ? value[0] : value;
  const isInteger =
    typeof text === 'number' ? Number.isSafeInteger(text) : typeof text === 'string' && /^-?[0-9]{1,15}$/.test(text);
  if (!isInteger || Number(text) < min) throw invalid(`Unable to parse '${setting}', got: ${shown(text)}`);
  return `${Number(text)}`;
}

export interface LogSettings {
  readonly log_file: string;
  readonly log_info: boolean;
  readonly log_warning: boolean;
  readonly log_error: boolean;
  readonly log_verbose_level: number;
  readonly log_format: 'default' | 'ISO8601';
}

export class LogRoom {
  readonly #onChange: (settings: LogSettings) => void;
  #settings: LogSettings;

  /** @param verboseLevel at start: 1 when the configured level is debug */
  constructor(verboseLevel: number, onChange: (settings: LogSettings) => void) {
    this.#onChange = onChange;
    this.#settings = {
      log_file: '',
      log_info: true,
      log_warning: true,
      log_error: true,
      log_verbose_level: verboseLevel,
      log_format: 'default',
    };
  }

  settings(): LogSettings {
    return this.#settings;
  }

  /** @throws what `update` would; it changes nothing */
  check(named: Named): void {
    this.#checked(named);
  }

  #checked(named: Named): [string, unknown][] {
    return Object.entries(named)
      .map(([key, value]): [string, unknown] => [key, checkedLog(this.#settings, key, value)])
      .filter(([, value]) => value !== undefined);
  }

  /** @throws INVALID_ARGUMENT, UNIMPLEMENTED */
  update(named: Named): LogSettings {
    this.#settings = { ...this.#settings, ...Object.fromEntries(this.#checked(named)) };
    this.#onChange(this.#settings);
    return this.#settings;
  }
}

/** @returns undefined for a setting that stays as it is */
function checkedLog(settings: LogSettings, key: string, value: unknown): unknown {
  if (!Object.hasOwn(settings, key)) throw unknownSetting('log', key, Object.keys(settings));
  if (value === null) return undefined;
  if (key === 'log_file') {
    throw new GatewayError('UNIMPLEMENTED', 'log file location can not be updated through network protocol');
  }
  if (key === 'log_format') {
    if (value === 'default' || value === 'ISO8601') return value;
    throw invalid(`invalid argument for log_format, got: ${shown(value)}`);
  }
  if (key === 'log_verbose_level') {
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value;
    throw invalid(`Unable to parse 'log_verbose_level': expected an integer >= 0, got: ${shown(value)}`);
  }
  if (typeof value === 'boolean') return value;
  throw invalid(`Unable to parse '${key}': expected a boolean, got: ${shown(value)}`);
}

function unknownSetting(kind: string, key: string, known: readonly string[]): GatewayError {
  const candidate = nearest(key, known);
  return invalid(
    `unknown ${kind} setting '${key.slice(0, 128)}'${candidate === undefined ? '' : `, did you mean '${candidate}'?`}`,
  );
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : exactJson(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
