/**
 * Which versions of a model are served: `latest n | all | specific`.
 *
 * The file writes it as the registry does, `{latest: {n: 2}}`; a flag may say `latest 2` or `specific 1,3`.
 *
 * Must not know which versions exist.
 */
import { z } from 'zod';

const versionNumber = z.preprocess(
  (value) => (typeof value === 'number' ? String(value) : value),
  z.string().regex(/^[1-9][0-9]{0,14}$/),
);

function policyOf(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const latest = /^latest(?: ([0-9]{1,4}))?$/.exec(value);
  if (latest !== null) return { latest: { n: Number(latest[1] ?? 1) } };
  const specific = /^specific ([0-9, ]+)$/.exec(value);
  return specific === null ? value : { specific: specific[1]!.split(/ *, */) };
}

export const versionPolicy = z.preprocess(
  policyOf,
  z.union([
    z.literal('all'),
    z.strictObject({ latest: z.strictObject({ n: z.number().int().min(1).max(1000) }) }),
    z.strictObject({ specific: z.array(versionNumber).min(1).max(1000) }),
  ]),
);
