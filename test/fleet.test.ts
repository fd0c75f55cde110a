/** Several processes as one, by real processes that open what they are told to when the test says so. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { VersionSpec } from '../src/core/model.js';
import { Fleet } from '../src/supervisor/fleet.js';
import type { FleetEvent } from '../src/supervisor/fleet-event.js';
import type { OpenAsked } from './fleet-process.js';

type Reply = 'open' | 'die' | `cannot ${string}`;

interface Question extends OpenAsked {
  readonly reply: (reply: Reply) => void;
}

class World {
  readonly fleet: Fleet;
  readonly events: FleetEvent[] = [];
  /** What processes asked and nobody looked at yet. */
  readonly questions: Question[] = [];
  #onChange: (() => void) | undefined;

  constructor(directory: string, processes: number) {
    this.fleet = new Fleet({
      entry: new URL('./fleet-process.js', import.meta.url),
      processes,
      semiSpaceMib: 4,
      config: {},
      marksFile: (life) => join(directory, life),
      package: '0.0.0',
      now: () => performance.now(),
      random: () => 0,
      beatMs: 60_000,
      beatTimeoutMs: 120_000,
      answer: (call) =>
        new Promise((reply) => {
          this.questions.push({ ...(call as unknown as OpenAsked), reply });
          this.#onChange?.();
        }),
      onEvent: (event) => {
        this.events.push(event);
        this.#onChange?.();
      },
    });
  }

  /** Resolves when there is one. */
  async next(): Promise<Question> {
    await this.until(() => this.questions.length > 0);
    return this.questions.shift()!;
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => (this.#onChange = resolve));
  }
}

/** Processes that listen already, with nothing open. */
async function listening(context: TestContext, processes: number): Promise<World> {
  const world = await started(context, processes);
  world.fleet.listen();
  await world.until(() => world.events.filter(({ kind }) => kind === 'ready').length === processes);
  return world;
}

async function started(context: TestContext, processes: number): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-fleet-'));
  const world = new World(directory, processes);
  context.after(async () => {
    await world.fleet.stop(0, 0);
    rmSync(directory, { recursive: true });
  });
  world.fleet.start();
  await world.fleet.started();
  return world;
}

const version = (number: string, mark = ''): VersionSpec =>
  ({ id: { model: 'm', version: number }, properties: { mark } }) as unknown as VersionSpec;

const seen = ({ kind, process, version, mark }: Question) => ({ kind, process, version, mark });

test('before anybody is served, a version is opened in all processes at once', async (context) => {
  const world = await started(context, 2);
  const { fleet } = world;
  const opened = fleet.open(version('1'));
  const both = [await world.next(), await world.next()];
  assert.deepEqual(both.map(({ process }) => process).sort(), [1, 2]);
  for (const { reply } of both) reply('open');
  await opened;
});

test('while callers are served, a version is opened in half of the processes at a time', async (context) => {
  const world = await listening(context, 3);
  const { fleet } = world;
  const opened = fleet.open(version('1'));
  const first = [await world.next(), await world.next()];
  assert.deepEqual(first.map(({ process }) => process).sort(), [1, 2]);
  first[0]!.reply('open');
  // The third would have asked before it answers this, had it been told already.
  await fleet.refresh();
  assert.deepEqual(world.questions.map(seen), []);
  first[1]!.reply('open');
  const last = await world.next();
  assert.equal(last.process, 3);
  last.reply('open');
  await opened;
});

test('a new version that the second half cannot open is closed in the first', async (context) => {
  const world = await listening(context, 2);
  const { fleet } = world;
  const opened = fleet.open(version('1'));
  (await world.next()).reply('open');
  (await world.next()).reply('cannot read it');
  const drained = [await world.next(), await world.next()];
  assert.deepEqual(drained.map(({ kind, process }) => `${kind} ${process}`).sort(), ['drain 1', 'drain 2']);
  await assert.rejects(opened, { code: 'FAILED_PRECONDITION', message: 'cannot read it' });
});

test('a version that the second half cannot open anew goes back in the first to what it was', async (context) => {
  const world = await listening(context, 2);
  const { fleet } = world;
  const before = fleet.open(version('1', 'old'));
  (await world.next()).reply('open');
  (await world.next()).reply('open');
  await before;
  const again = fleet.open(version('1', 'new'));
  const asked = [await world.next()];
  asked[0]!.reply('open');
  asked.push(await world.next());
  asked[1]!.reply('cannot read it');
  for (let i = 2; i < 4; i++) {
    asked.push(await world.next());
    asked[i]!.reply('open');
  }
  await assert.rejects(again, { message: 'cannot read it' });
  assert.deepEqual(
    asked.map(({ process, mark }) => `${mark} in ${process}`),
    ['new in 1', 'new in 2', 'old in 1', 'old in 2'],
  );
});

test('when it cannot go back either, both reasons are told', async (context) => {
  const world = await listening(context, 2);
  const { fleet } = world;
  const before = fleet.open(version('1', 'old'));
  (await world.next()).reply('open');
  (await world.next()).reply('open');
  await before;
  const again = fleet.open(version('1', 'new'));
  (await world.next()).reply('cannot read it');
  (await world.next()).reply('cannot find it');
  await assert.rejects(again, {
    code: 'FAILED_PRECONDITION',
    message: 'cannot read it; and what was open before cannot be opened again everywhere: cannot find it',
  });
});

test('a process that dies while it opens is not waited for; the next in its place opens what is wanted', async (context) => {
  const world = await listening(context, 2);
  const { fleet } = world;
  const opened = fleet.open(version('1'));
  (await world.next()).reply('die');
  const second = await world.next();
  assert.equal(second.process, 2);
  second.reply('open');
  await opened;
  const reborn = await world.next();
  assert.deepEqual(seen(reborn), { kind: 'open', process: 1, version: '1', mark: '' });
  assert.equal(
    world.events.filter(({ kind }) => kind === 'ready').length,
    2,
    'it does not listen before it has opened it',
  );
  reborn.reply('open');
  await world.until(() => world.events.filter(({ kind }) => kind === 'ready').length === 3);
});
