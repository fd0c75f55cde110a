/**
 * Loaded into a gateway before anything else (`node --import`): with BENCH_NO_METRICS=1 its metrics are replaced by nothing.
 *
 * The product has no switch for that, because nobody should serve without numbers. Both sides of a comparison load this, so
 * that they differ in the metrics alone.
 *
 * Must not know what is compared.
 */
import { type ResolveHook, register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

export const resolve: ResolveHook = async (specifier, context, next) => {
  const found = await next(specifier, context);
  const isReplaced = process.env.BENCH_NO_METRICS === '1' && found.url.endsWith('/src/observe/metrics.js');
  return isReplaced ? { ...found, url: new URL('./no-metrics.js', import.meta.url).href } : found;
};

if (isMainThread) register(import.meta.url);
