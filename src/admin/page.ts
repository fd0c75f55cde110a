/**
 * The console's files: a closed list, read once, so that no path of a request ever meets the disk.
 *
 *   /            ─▶ src/console/index.html        /console/uplot.js ─▶ the chart library's own build
 *   /console/…   ─▶ src/console/…
 *
 * The page holds nothing secret and is given to anybody; what it shows it has to ask for with a token. It may run only
 * scripts that come from here and talk only to us.
 *
 * Must not know what the console shows.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Row } from './row.js';

const kinds = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
} as const;

const own = [
  'console.css',
  'activity.js',
  'api.js',
  'charts.js',
  'console.js',
  'dialog.js',
  'drift.js',
  'elements.js',
  'events.js',
  'experiments.js',
  'icon.svg',
  'models.js',
  'routes.js',
  'session.js',
  'shadows.js',
  'text.js',
];

const require = createRequire(import.meta.url);
const ofLibrary = new Map([
  ['uplot.js', () => require.resolve('uplot/dist/uPlot.iife.min.js')],
  ['uplot.css', () => require.resolve('uplot/dist/uPlot.min.css')],
]);

const names = ['index.html', ...own, ...ofLibrary.keys()];
const pathOf = (name: string) => (name === 'index.html' ? '/' : `/console/${name}`);
const kindOf = (name: string) => kinds[name.slice(name.lastIndexOf('.') + 1) as keyof typeof kinds];

export const pageRows: readonly Row[] = names.map((name) => ({
  method: 'GET',
  path: pathOf(name),
  role: 'open',
  summary: name === 'index.html' ? 'The console' : 'A file of the console',
  contentType: kindOf(name),
}));

export interface PageFile {
  readonly contentType: string;
  readonly body: string;
}

/** By path. A file that is not installed is missing here. */
export function readPage(): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  for (const name of names) {
    const body = textAt(name);
    if (body !== undefined) files.set(pathOf(name), { contentType: kindOf(name), body });
  }
  return files;
}

/** The sources are served as they are; they lie beside `dist`. */
function textAt(name: string): string | undefined {
  try {
    const path = ofLibrary.get(name)?.() ?? new URL(`../../../src/console/${name}`, import.meta.url);
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Every answer of the control port: what it says is what it is, nobody keeps it, and nobody frames it. */
const guards: readonly (readonly [string, string])[] = [
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
];

export const answerHeaders: readonly (readonly [string, string])[] = [
  ...guards,
  ['Cache-Control', 'no-store'],
  ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
];

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
];

export const pageHeaders: readonly (readonly [string, string])[] = [
  ...guards,
  ['Cache-Control', 'no-cache'],
  ['Cross-Origin-Opener-Policy', 'same-origin'],
  ['Content-Security-Policy', policy.join('; ')],
];
