/**
 * The options as a flat list: each with its path, its flag and its variable.
 *
 *   http.max_input_size   --http-max-input-size   SLUICE_HTTP_MAX_INPUT_SIZE
 *
 * Must not know where values come from.
 */
import { z } from 'zod';
import { factsOf, type OptionFacts } from './option.js';
import { schema } from './schema.js';

export interface Option {
  /** `http.port`. */
  readonly path: string;
  readonly schema: z.ZodType;
  readonly facts: OptionFacts;
  readonly fallback: unknown;
  /** Without the dashes: `http-port`. */
  readonly flag: string;
  readonly variable: string;
}

function list(group: z.ZodObject, prefix: string): Option[] {
  return Object.entries(group.shape).flatMap(([key, member]) => {
    const path = `${prefix}${key}`;
    if (member instanceof z.ZodObject) return list(member, `${path}.`);
    const check = member as z.ZodType;
    const words = path.replace(/[._]/g, '-');
    const variable = `SLUICE_${words.replaceAll('-', '_').toUpperCase()}`;
    return [{ path, schema: check, facts: factsOf(check), fallback: check.parse(undefined), flag: words, variable }];
  });
}

/** In the order of the schema. */
export const options: readonly Option[] = list(schema, '');

export const optionByPath: ReadonlyMap<string, Option> = new Map(options.map((option) => [option.path, option]));
export const optionByFlag: ReadonlyMap<string, Option> = new Map(options.map((option) => [option.flag, option]));
export const optionByVariable: ReadonlyMap<string, Option> = new Map(
  options.map((option) => [option.variable, option]),
);

/** Short flags for the commonest options; the full flag wins when both are given. */
export const shortFlags: Readonly<Record<string, readonly string[]>> = {
  models: ['models.path'],
  'model-repository': ['models.path'],
  'model-name': ['models.name'],
  load: ['models.load'],
  host: ['http.host', 'grpc.host'],
};
