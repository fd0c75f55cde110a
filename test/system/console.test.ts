/** The console in a real browser against a real server: what each role sees and may do, by keyboard, and what markup becomes. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { writeRepository } from '../fixtures.js';
import { graph, model, node, value } from '../onnx-writer.js';
import { openBrowser, skipped } from './browser.js';
import { startLoad } from './load.js';
import { freshDirectory, type Server, startServer } from './server.js';
import { type Entry, rowBody, stateFor, wholeVersion } from './versions-fixture.js';

const tokens = { vera: 'viewer-token-0123456789', otto: 'operator-token-0123456789' };
const markup = '<img src=x onerror="pwned=1">';

/** A model whose tensors are named in markup. */
function markedUp(): Buffer {
  return model(
    graph({
      inputs: [value(markup, 'FP32', ['batch', 4])],
      outputs: [value('</ul><script>pwned=2</script>', 'FP32', ['batch', 4])],
      nodes: [node('Identity', [markup], ['</ul><script>pwned=2</script>'])],
    }),
  );
}

async function serve(context: { after(work: () => unknown): void }): Promise<Server> {
  const state = stateFor(context as never);
  const models = writeRepository(freshDirectory(context), {
    scores: { versions: { 1: wholeVersion(1), 2: wholeVersion(2) } },
    marked: { versions: { 1: { 'model.onnx': markedUp() } } },
    broken: { versions: { 1: { 'model.onnx': Buffer.from('nothing') } } },
  });
  // No name that a model can have: it must not appear, nor run.
  mkdirSync(join(models, '<img src=x onerror=pwned=3>'));
  const flags = state.config(`
models: { version_policy: all }
admin:
  tokens:
    vera: { role: viewer, token: ${tokens.vera} }
    otto: { role: operator, token: ${tokens.otto} }
`);
  const server = await startServer({ models, processes: 1, env: state.env, flags });
  context.after(() => server.kill('SIGKILL'));
  return server;
}

interface Watched {
  readonly page: Page;
  /** What the page asked of anybody else, complained about or threw. */
  readonly wrong: string[];
}

async function openPage(browser: Browser, server: Server, options: object = {}): Promise<Watched> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
  const wrong: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(`${server.admin}/`)) wrong.push(`asked ${request.url()}`);
  });
  page.on('pageerror', (error) => wrong.push(`threw ${error.message}`));
  page.on('dialog', (dialog) => wrong.push(`opened ${dialog.message()}`));
  page.on('console', (said) => {
    // Chromium writes a line for every answer that is an error, wanted or not.
    if (said.type() === 'error' && !said.text().startsWith('Failed to load resource')) wrong.push(said.text());
  });
  await page.goto(server.admin);
  return { page, wrong };
}

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('Token').fill(token);
  await page.keyboard.press('Enter');
}

const card = (page: Page, name: string) => page.getByRole('article', { name: `Model ${name}`, exact: true });

/** What is wider than the window, and not inside something that scrolls by itself. */
const standingOut = `[...document.querySelectorAll('body *')]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, .sections, .skip'))
  .map((one) => one.tagName + '.' + one.getAttribute('class') + ' in ' + one.closest('section')?.id)`;

/** Nothing of what was text has become an element, and nothing has run. */
async function isHarmless({ page, wrong }: Watched): Promise<void> {
  assert.deepEqual(wrong, []);
  assert.equal(await page.evaluate('typeof globalThis.pwned'), 'undefined');
  assert.equal(await page.locator('main img, main script, main iframe').count(), 0);
}

test('the console in a browser', { skip: skipped, timeout: 180_000 }, async (context) => {
  const server = await serve(context);
  const browser = await openBrowser(context);
  const load = startLoad({ url: `${server.http}/v2/models/scores/infer`, body: rowBody, clients: 2 });
  context.after(() => load.stop());

  await context.test(
    'it asks for a token, refuses a wrong one, and shows a viewer everything but buttons',
    async () => {
      const watched = await openPage(browser, server);
      const { page } = watched;
      await signIn(page, 'not-a-token-of-anybody');
      await page.getByText('This token is not known here.').waitFor();
      await signIn(page, tokens.vera);
      await page.getByText('vera · viewer').waitFor();
      await card(page, 'scores').getByText('by default').waitFor();
      assert.equal(await page.locator('main button:visible').count(), 0);
      await card(page, 'broken').getByText('refused', { exact: true }).waitFor();
      assert.match((await card(page, 'broken').locator('.reason').textContent()) ?? '', /ONNX/);
      await page.reload();
      await page.getByText('vera · viewer').waitFor();
      assert.equal(await page.evaluate('localStorage.length + document.cookie.length'), 0);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('Token').waitFor();
      assert.equal(await page.evaluate('sessionStorage.length'), 0);
      assert.deepEqual(watched.wrong, []);
      await page.close();
    },
  );

  await context.test('numbers move, and every chart is drawn', async () => {
    const { page, wrong } = await openPage(browser, server);
    await signIn(page, tokens.vera);
    const rate = page.locator('.tile', { hasText: 'Requests/s' }).locator('b');
    await rate.filter({ hasText: /[1-9]/ }).waitFor();
    await page.locator('.plot canvas').nth(5).waitFor();
    assert.match((await page.locator('.plot').nth(1).getAttribute('aria-label')) ?? '', /p50 [\d.]+ .*p99 [\d.]+/);
    await page.getByLabel('Show').selectOption('marked');
    await rate.filter({ hasText: /^0$/ }).waitFor();
    assert.deepEqual(wrong, []);
    await page.close();
  });

  await context.test('an operator promotes by keyboard alone, with a reason that stays text', async () => {
    const watched = await openPage(browser, server);
    const { page } = watched;
    await signIn(page, tokens.otto);
    const promote = page.getByRole('button', { name: 'Promote scores@1' });
    await promote.focus();
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate('document.activeElement.dataset.key'), 'Promote scores@1');
    assert.equal(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'solid');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    assert.equal(await page.getByRole('dialog').isVisible(), false);
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate('document.activeElement.id'), 'reason');
    await page.keyboard.type(markup);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await card(page, 'scores')
      .locator('tr', { hasText: 'by default' })
      .getByText('1', { exact: true })
      .first()
      .waitFor();
    await page.locator('#events tr', { hasText: 'promote' }).getByText(markup).first().waitFor();
    const entry = await lastPromotion(server);
    assert.equal(entry.actor, 'operator:otto');
    assert.equal(entry.detail.reason, markup);
    await isHarmless(watched);
    await page.close();
  });

  await context.test('a change that fails says why and leaves the question open', async () => {
    const { page } = await openPage(browser, server);
    await signIn(page, tokens.otto);
    await page.getByRole('button', { name: 'Roll back scores' }).waitFor();
    await page.route('**/admin/models/scores/rollback', (route) =>
      route.fulfill({ status: 409, json: { error: `no version before ${markup}` } }),
    );
    await page.getByRole('button', { name: 'Roll back scores' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
    await page.getByRole('dialog').getByText(`no version before ${markup}`).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await page.getByRole('dialog').isVisible(), false);
    await page.close();
  });

  await context.test('weights are asked for by numbers, and a canary is steered from its route', async () => {
    const { page, wrong } = await openPage(browser, server);
    const sent: unknown[] = [];
    await tellRoutes(page, sent);
    await signIn(page, tokens.otto);
    await page.getByRole('button', { name: 'Set weights of split' }).click();
    await page.getByRole('spinbutton', { name: 'b' }).fill('25');
    await page.getByLabel('Reason').fill('no complaint in a week');
    await page.getByRole('dialog').getByRole('button', { name: 'Set weights' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await page.getByRole('button', { name: 'Ramp up canary of ramped' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Ramp up' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    assert.deepEqual(sent, [
      ['/admin/routes/split', { weights: { a: 90, b: 25 }, reason: 'no complaint in a week' }],
      ['/admin/models/ramped/canary/advance', { reason: '' }],
    ]);
    assert.deepEqual(wrong, []);
    await page.close();
  });

  await context.test('names of tensors in markup are shown as they are', async () => {
    const watched = await openPage(browser, server);
    const { page } = watched;
    await signIn(page, tokens.vera);
    await card(page, 'marked').locator('summary').click();
    await card(page, 'marked').getByText(markup).waitFor();
    assert.equal(await page.getByText('onerror=pwned=3').count(), 0, 'a folder that is no model');
    await isHarmless(watched);
    await page.close();
  });

  await context.test('whatever the sections are told becomes text, too', async () => {
    const watched = await openPage(browser, server);
    const { page } = watched;
    await tellEverywhere(page, markup);
    await signIn(page, tokens.otto);
    for (const id of ['models', 'routes', 'shadows', 'drift', 'experiments', 'events'])
      await page.locator(`#${id}`).getByText(markup).first().waitFor({ state: 'attached' });
    assert.equal(await page.locator('#drift rect').count(), 4);
    await isHarmless(watched);
    await page.close();
  });

  await context.test('a text of any length and of any characters stays in its place', async () => {
    const texts = ['W'.repeat(3000), `\u202eevil\u0000\u001b[2J"'\`\n\u2028${'&lt;'.repeat(20)}{{7*7}}`];
    for (const width of [390, 1280])
      for (const text of texts) {
        const watched = await openPage(browser, server, { viewport: { width, height: 844 } });
        const { page } = watched;
        await tellEverywhere(page, text);
        await signIn(page, tokens.otto);
        for (const id of ['models', 'routes', 'shadows', 'drift', 'experiments', 'events'])
          await page.locator(`#${id}`).getByText(text.slice(1, 5)).first().waitFor({ state: 'attached' });
        assert.deepEqual(await page.evaluate(standingOut), [], `${text.slice(0, 5)} in ${width}`);
        assert.equal(await page.evaluate('document.documentElement.scrollWidth'), width);
        await isHarmless(watched);
        await page.close();
      }
  });

  await context.test('no script but those of the console can run in it', async () => {
    const { page } = await openPage(browser, server);
    const tried = await page.evaluate(`(() => {
      const results = [];
      for (const attempt of [
        () => { document.body.innerHTML += '<p>'; },
        () => { const one = document.createElement('script'); one.textContent = 'globalThis.pwned = 4'; document.body.append(one); },
      ]) try { attempt(); results.push('ran'); } catch { results.push('refused'); }
      return results;
    })()`);
    assert.deepEqual(tried, ['refused', 'refused']);
    assert.equal(await page.evaluate('typeof globalThis.pwned'), 'undefined');
    await page.close();
  });

  await context.test('where there is nothing, it says what there could be', async () => {
    const { page } = await openPage(browser, server);
    await page.route('**/admin/models', (route) => route.fulfill({ json: { models: [], sources: [] } }));
    await page.route('**/openapi.json', (route) => route.fulfill({ json: { paths: {} } }));
    await signIn(page, tokens.vera);
    for (const title of ['No models yet', 'No route', 'No shadow', 'Drift is not watched', 'No experiment'])
      await page.getByText(title).waitFor();
    await page.close();
  });

  await context.test('it fits a phone and a desk, in light and in dark', async () => {
    const backgrounds = new Set<unknown>();
    for (const [width, colorScheme] of [
      [390, 'light'],
      [390, 'dark'],
      [1280, 'dark'],
    ] as const) {
      const { page } = await openPage(browser, server, { viewport: { width, height: 844 }, colorScheme });
      await signIn(page, tokens.otto);
      await card(page, 'scores').waitFor();
      await page.locator('.plot canvas').nth(5).waitFor();
      assert.equal(await page.evaluate('document.documentElement.scrollWidth'), width, 'nothing stands out');
      backgrounds.add(await page.evaluate('getComputedStyle(document.body).backgroundColor'));
      await page.close();
    }
    assert.equal(backgrounds.size, 2);
  });

  await context.test('a server that is gone is said to be, and what was seen stays', async () => {
    const { page } = await openPage(browser, server);
    await signIn(page, tokens.vera);
    await card(page, 'scores').waitFor();
    await load.stop();
    server.kill('SIGKILL');
    await page.getByRole('alert').getByText('The control process does not answer.').waitFor();
    assert.equal(await card(page, 'scores').isVisible(), true);
    await page.close();
  });
});

async function lastPromotion(server: Server): Promise<Entry> {
  const headers = { authorization: `Bearer ${tokens.vera}` };
  const response = await fetch(`${server.admin}/admin/audit?last=100`, { headers });
  const { entries } = (await response.json()) as { entries: { entry: Entry }[] };
  return entries.map(({ entry }) => entry).findLast(({ action }) => action === 'promote')!;
}

/** Two routes, one of them with a canary. @param sent where changes of them are noted */
async function tellRoutes(page: Page, sent: unknown[]): Promise<void> {
  const variant = (name: string, model: string, weight: number) => ({
    name,
    model,
    version: '1',
    weight,
    share: weight / 100,
  });
  const route = (model: string, canary: object | null) => ({
    model,
    experiment: null,
    phase: 1,
    source: 'file',
    change: 0,
    shadows: [],
    variants: [variant('a', model, 90), variant('b', model, 10)],
    canary,
  });
  const routes = [route('split', null), route('ramped', { status: 'running', place: 1, percent: 10 })];
  await page.route('**/admin/routes', (asked) => asked.fulfill({ json: { routes } }));
  for (const path of ['**/admin/routes/split', '**/admin/models/ramped/canary/advance'])
    await page.route(path, (asked) => {
      sent.push([new URL(asked.request().url()).pathname, asked.request().postDataJSON()]);
      return asked.fulfill({ json: {} });
    });
}

/** Has the server tell this text wherever it could tell one. */
async function tellEverywhere(page: Page, text: string): Promise<void> {
  const version = {
    model: 'scores',
    version: '1',
    state: text,
    reason: text,
    isDefault: true,
    inputs: [text],
    outputs: [text],
    maxBatchSize: 1,
    source: text,
    sha256: '',
    labels: [text],
  };
  const spread = { n: 1, mean: 1, std_sample: null, min: 1, max: 1, infinite: 0 };
  const shadow = {
    route: text,
    shadow: text,
    model: text,
    version: '1',
    outcomes: { [text]: 3 },
    pairs: 1,
    mismatched_pairs: 1,
    disagreement_ratio: 0.5,
    status_mismatches: 0,
    latency_ms: spread,
    output_bytes: spread,
    outputs: [{ output: text, items: 1, agreement: 1, match_rate: 1, measures: {} }],
    worst: [{ request_id: text, output: text, max_abs_diff: null, primary_label: text, shadow_label: text }],
  };
  const metrics = [{ metric: text, mean: 1 }];
  const answers: Readonly<Record<string, object>> = {
    '/openapi.json': {
      paths: Object.fromEntries(
        ['/admin/routes', '/admin/shadows', '/admin/experiments', '/admin/models/{model}/drift'].map((path) => [
          path,
          {},
        ]),
      ),
    },
    '/admin/models': {
      models: [version, { ...version, model: text, version: text }],
      sources: [{ name: text, isUp: false, reason: text }],
    },
    '/admin/routes': {
      routes: [
        {
          model: text,
          experiment: text,
          phase: 1,
          source: 'changed',
          change: 1,
          shadows: [text],
          variants: [{ name: text, model: text, version: text, weight: 1, share: 1 }],
          canary: { status: 'running', place: 1, percent: 5 },
        },
      ],
    },
    '/admin/shadows': { shadows: [shadow] },
    '/admin/models/scores/drift': {
      versions: [
        {
          version: text,
          status: text,
          report: {
            baseline: text,
            window: { rows: 1 },
            features: [
              {
                name: text,
                state: text,
                psi_corrected: 0.3,
                bins: [text],
                reference: { counts: [1, 2] },
                current: { counts: [2, 1] },
              },
            ],
          },
        },
      ],
    },
    '/admin/experiments': {
      experiments: [
        {
          experiment: text,
          phase: 1,
          advice: text,
          srm: { is_mismatch: false, p_seq: 1 },
          variants: [{ variant: text, version: text, weight: 1, requests: 1, keys: 1, metrics }],
          comparisons: [{ variant: text, metric: text, interval: null, verdict: text }],
        },
      ],
    },
    '/admin/audit': {
      entries: [
        {
          entry: { seq: 1, ts: text, actor: text, action: text, subject: text, detail: { reason: text, [text]: text } },
        },
      ],
    },
  };
  for (const [path, json] of Object.entries(answers))
    await page.route(
      (url) => url.pathname === path,
      (route) => route.fulfill({ json }),
    );
}
