/**
 * Routes as text: who gets which version with which share, and how that was changed.
 *
 * Must not know where they come from.
 */
import type { RouteDocument, WholeRouteDocument } from '../control/route-document.js';
import { harmless, table } from './text.js';

const head = ['ROUTE', 'VARIANT', 'VERSION', 'WEIGHT', 'SHARE', 'CANARY', 'FROM'];

export function routesText({ routes }: { readonly routes: readonly RouteDocument[] }): string {
  if (routes.length === 0) return 'no routes\n';
  return `${table([head, ...routes.flatMap(rowsOf)])}${routes.flatMap(waitsOf).join('')}`;
}

export function routeText(route: WholeRouteDocument): string {
  if (!('variants' in route)) return `${harmless(route.model)} has no route any more\n`;
  const shadows = route.shadows.length === 0 ? '' : `shadows: ${route.shadows.map(harmless).join(', ')}\n`;
  return `${table([head, ...rowsOf(route)])}${shadows}${waitsOf(route).join('')}`;
}

function waitsOf({ model, variants }: RouteDocument): string[] {
  const waiting = variants.filter(({ waits }) => waits !== '');
  return waiting.map(({ name, waits }) => harmless(`${model} ${name} has no share yet: ${waits}`).concat('\n'));
}

function rowsOf({ model, variants, canary, source, change, default: fallback }: RouteDocument): string[][] {
  return variants.map((one) => [
    model,
    one.name === fallback ? `${one.name} (default)` : one.name,
    one.model === model ? one.version : `${one.model}@${one.version}`,
    String(one.weight),
    `${Number((100 * one.share).toFixed(2))} %`,
    canary === null ? '' : `${canary.status} ${canary.percent} %`,
    source === 'file' ? 'file' : `change ${change}`,
  ]);
}

/** The newest first. */
export function historyText({ history }: WholeRouteDocument): string {
  if (history.length === 0) return 'never changed: it is as the configuration file says\n';
  const rows = history.map(({ number, at, actor, reason, weights }) => {
    const text =
      weights &&
      Object.entries(weights)
        .map(([name, weight]) => `${name}=${weight}`)
        .join(' ');
    return [String(number), at, actor, text ?? 'as the file says', reason];
  });
  return table([['CHANGE', 'AT', 'BY', 'WEIGHTS', 'REASON'], ...rows]);
}
