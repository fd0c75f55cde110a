/**
 * The whole loop by one command, in a temporary folder: traffic → drift → alert → request → training → a version that is
 * tried and goes through a canary → the version that answers.
 *
 *   npm run build && node examples/retrain/run.mjs
 *
 * It starts the receiver and a gateway with digits version 1 on free ports, sends images as the model knows them, then images
 * of another scanner, and waits for version 2 to answer everybody. Windows and steps are short here, so that it takes a minute or
 * two and not a day.
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = process.env.RETRAIN_CLI ?? join(root, 'dist', 'src', 'cli.js');
const python = '/usr/bin/python3';
const limitMs = 180_000;
const perRequest = 100;

const directory = mkdtempSync(join(tmpdir(), 'sluice-retrain-'));
const children = [];
const env = {
  ...process.env,
  RETRAIN_SECRET: `whsec_${randomBytes(32).toString('base64')}`,
  PROFILE_CLI: cli,
  SLUICE_REGISTRY_STORE_PATH: join(directory, 'store'),
  SLUICE_AUDIT_PATH: join(directory, 'audit'),
  SLUICE_PREDICTION_LOG_PATH: join(directory, 'log'),
};

function say(text) {
  console.log(`${(performance.now() / 1000).toFixed(1).padStart(6)} s  ${text}`);
}

/** Starts a program. @returns what resolves with the first line, past or to come, of which `pick` makes something */
function start(name, args) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env });
  children.push(child);
  const lines = [];
  const watchers = new Set();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    for (const look of watchers) look();
  });
  return (pick) =>
    new Promise((resolve, reject) => {
      const look = () => {
        const found = lines.map(pick).find((one) => one !== undefined);
        if (found === undefined) return;
        watchers.delete(look);
        resolve(found);
      };
      watchers.add(look);
      child.once('exit', (code) => reject(new Error(`${name} ended with ${code}:\n${lines.slice(-5).join('\n')}`)));
      look();
    });
}

function jsonOf(line) {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}

function configOf(trainer) {
  return `
models: {path: ${join(directory, 'models')}, poll_ms: 500, version_policy: all}
gateway: {processes: 1, beat_ms: 200}
http: {host: 127.0.0.1, port: 0}
grpc: {enabled: false}
admin: {port: 0}
log: {format: json}
drain_delay_ms: 0
prediction_log: {enabled: true, flush_ms: 50}
drift: {minute_ms: 500}
routes:
  digits:
    key: [header:x-user-id]
    default: present
    variants: {present: {version: "1", weight: 100}, next: {version: "2", weight: 0}}
    canary:
      variant: next
      steps: [20, 60, 100]
      interval: 500ms
      min_duration: 1s
      min_samples: 60
      guardrails: [{metric: error_rate, margin: 0.2}]
triggers:
  path: ${join(directory, 'outbox')}
  endpoints:
    trainer: {url: "${trainer}", secret_env: RETRAIN_SECRET, types: [io.sluice.retrain.requested]}
  retrain:
    digits: {when: {any: [{drift_share: ">=0.3"}]}, cooldown_h: 24}
`;
}

/** All images of the data set, in an order that mixes them. A few, sent again and again, would be a drift of their own. */
function readImages() {
  const program = 'import json, sklearn.datasets as d; print(json.dumps(d.load_digits().data.tolist()))';
  const images = JSON.parse(execFileSync(python, ['-c', program], { maxBuffer: 64 * 2 ** 20 }));
  return images.map((_, index) => images[(index * 1009) % images.length]);
}

const asKnown = (value) => value;
const asScanned = (value) => Math.round(4 + (value * 9) / 16);
let images = [];
let sent = 0;
let users = 0;

/** The next images, as one scanner or the other gives them, of the next user. @returns the version that answered */
async function send(http, scan, count = perRequest) {
  const rows = Array.from({ length: count }, () => images[sent++ % images.length]);
  const data = rows.flat().map(scan);
  const input = { name: 'image', datatype: 'FP32', shape: [count, 64], data };
  const body = JSON.stringify({ inputs: [input] });
  const headers = { 'x-user-id': `user-${users++}` };
  const response = await fetch(`${http}/v2/models/digits/infer`, { method: 'POST', headers, body });
  if (!response.ok) throw new Error(`the gateway answers ${response.status}: ${await response.text()}`);
  return (await response.json()).model_version;
}

/** How many windows have been compared with the profile. */
async function windowsOf(admin) {
  const response = await fetch(`${admin}/admin/models/digits/drift`);
  const { versions } = await response.json();
  return versions?.[0]?.windows_judged ?? 0;
}

async function loop() {
  images = readImages();
  const models = join(directory, 'models');
  mkdirSync(join(models, 'digits'), { recursive: true });
  cpSync(join(root, 'models', 'digits', '1'), join(models, 'digits', '1'), { recursive: true });

  const receiving = start('receive.mjs', [join(root, 'examples/retrain/receive.mjs'), '--models', models, '--port', '0']);
  const port = await receiving((line) => /^listening on ([0-9]+)$/.exec(line)?.[1]);
  const config = join(directory, 'sluice.yaml');
  writeFileSync(config, configOf(`http://127.0.0.1:${port}/retrain`));
  const serving = start('the gateway', [cli, 'serve', '--config', config]);
  const http = await serving((line) => (jsonOf(line).msg === 'gateway.ready' ? jsonOf(line).http : undefined));
  await serving((line) => (jsonOf(line).msg === 'started' ? true : undefined));
  const admin = await serving((line) => jsonOf(line).admin);
  say(`digits version ${await send(http, asKnown)} answers`);

  let isDrifting = false;
  void serving((line) => (jsonOf(line).msg === 'drift.detected' ? true : undefined)).then(
    () => {
      isDrifting = true;
      say('drift detected');
    },
    () => {},
  );
  for (let judged = 0; judged < 2; judged = await windowsOf(admin)) {
    await send(http, asKnown);
    await wait(100);
  }
  if (isDrifting) throw new Error('drift was detected although nothing has drifted');
  say(`${sent} images as the model knows them: no drift; now those of another scanner`);
  void serving((line) => (jsonOf(line).msg === 'trigger.fired' ? jsonOf(line) : undefined)).then(
    ({ triggerId, reasons }) => say(`a training is asked for: ${reasons} (${triggerId})`),
    () => {},
  );
  void receiving((line) => (line.startsWith('trained') ? line : undefined)).then(say, () => {});
  await untilPromoted(http, admin);
  const closed = await serving((line) => (jsonOf(line).msg === 'trigger.closed' ? jsonOf(line) : undefined));
  say(`the request is closed: ${closed.reason}`);
  say(`digits version ${await send(http, asScanned)} answers`);
}

/** Images of the other scanner from many users, until the canary of the new version has arrived. */
async function untilPromoted(http, admin) {
  let last = '';
  for (const until = performance.now() + limitMs; performance.now() < until; await wait(50)) {
    await Promise.all(Array.from({ length: 10 }, () => send(http, asScanned, 10)));
    const { status, percent, reason } = await canaryOf(admin);
    if (status === 'rolled_back' || status === 'held') throw new Error(`the canary is ${status}: ${reason}`);
    const now = status === undefined || status === 'waiting' ? '' : `canary: version 2 gets ${percent} % of the users, ${status}`;
    if (now !== last && now !== '') say(now);
    if (status === 'promoted') return;
    last = now;
  }
  throw new Error(`no other version is promoted after ${limitMs / 1000} s`);
}

/** Of digits; it waits as long as there is no second version. */
async function canaryOf(admin) {
  const response = await fetch(`${admin}/admin/models/digits/canary`);
  return response.ok ? response.json() : {};
}

try {
  await loop();
} catch (error) {
  console.error(`run.mjs: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const child of children) {
    child.removeAllListeners('exit');
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.kill('SIGTERM')) await gone;
  }
  // What is in the store is read-only.
  spawn('chmod', ['-R', 'u+w', directory]).on('close', () => rmSync(directory, { recursive: true, force: true }));
}
