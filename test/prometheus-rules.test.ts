/** The shipped rules, judged by promtool, and what links them to their cases and to the runbook. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { skipWithout } from './servers/debian.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'config', 'prometheus');
const skip = skipWithout(['/usr/bin/promtool'], 'prometheus');

interface Rule {
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const read = (name: string) => parse(readFileSync(join(folder, name), 'utf8'));
const rules: Rule[] = read('alerts.yml').groups.flatMap((group: { rules: Rule[] }) => group.rules);

function promtool(...parameters: string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', parameters, { cwd: folder, encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);
}

test('promtool finds nothing wrong with the rules and the scrape configuration', { skip }, () => {
  promtool('check', 'rules', 'recording.yml', 'alerts.yml');
  promtool('check', 'config', 'prometheus.yml');
});

test('every alert fires in its case and stays quiet in the other', { skip }, () => {
  promtool('test', 'rules', 'cases.yml');
});

test('every alert has a case in which it fires and one in which it does not', () => {
  interface Expected {
    readonly alertname: string;
    readonly exp_alerts: readonly unknown[];
  }
  const cases: Expected[] = read('cases.yml').tests.flatMap(
    (one: { alert_rule_test: Expected[] }) => one.alert_rule_test,
  );
  assert.ok(rules.length > 0);
  for (const { alert } of rules) {
    const own = cases.filter(({ alertname }) => alertname === alert);
    assert.ok(
      own.some(({ exp_alerts }) => exp_alerts.length > 0),
      `${alert} never fires`,
    );
    assert.ok(
      own.some(({ exp_alerts }) => exp_alerts.length === 0),
      `${alert} is never quiet`,
    );
  }
});

test('every alert says what is the matter, how urgent it is, and links to a section of the runbook that names it', () => {
  const text = readFileSync(join(root, 'docs', 'monitoring.md'), 'utf8');
  const sections = new Map(
    text.split(/^## /m).map((section) => {
      const title = section.slice(0, section.indexOf('\n'));
      return [title.toLowerCase().replaceAll(' ', '-'), section];
    }),
  );
  for (const { alert, labels, annotations } of rules) {
    assert.match(labels.severity!, /^(page|ticket)$/, alert);
    assert.ok(annotations.summary && annotations.description, alert);
    const [file, anchor] = annotations.runbook_url!.split('#');
    assert.equal(file, 'docs/monitoring.md', alert);
    assert.ok(sections.get(anchor!)?.includes(alert), `${alert} is not explained under #${anchor}`);
  }
});
