/** The triggers of the control process: which entries of the audit log are told, over restarts too, and retraining by policy. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { AuditAction } from '../src/audit/actions.js';
import type { JsonObject } from '../src/audit/canonical.js';
import { type AuditRecord, emptyHead, sealed } from '../src/audit/entry.js';
import { AuditLog } from '../src/audit/log.js';
import { schema } from '../src/config/schema.js';
import { eventOf } from '../src/control/audit-events.js';
import { AuditFollow } from '../src/control/audit-follow.js';
import { StaleSources } from '../src/control/stale-sources.js';
import { TriggerRoom } from '../src/control/trigger-room.js';
import { GatewayError } from '../src/core/errors.js';
import type { SourceState } from '../src/core/listing.js';
import { StateFolder } from '../src/registry/store/state.js';
import { freshDirectory } from './system/server.js';
import { eventually } from './system/versions-fixture.js';
import { type Receiver, receiver, secret } from './triggers-fixture.js';

interface Told {
  readonly type: string;
  readonly subject: string;
  readonly id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Home {
  readonly hook: Receiver;
  /** Opens the room on the same disk. */
  open(triggers?: object): Promise<{ room: TriggerRoom; audit: AuditLog; close(): Promise<void>; log: string[] }>;
  told(): Told[];
}

async function homeOf(context: TestContext): Promise<Home> {
  const directory = freshDirectory(context);
  const hook = await receiver(context);
  return {
    hook,
    told: () => hook.received.map(({ body }) => JSON.parse(body)),
    open: async (triggers = {}) => {
      let room: TriggerRoom | undefined;
      const audit = await AuditLog.open({
        path: join(directory, 'audit'),
        fileBytesMax: 1 << 20,
        now: Date.now,
        actor: 'system:test',
        onWritten: (record) => room?.audited(record),
      });
      const config = schema.parse({
        ...Object.fromEntries(Object.keys(schema.shape).map((key) => [key, {}])),
        request_timeout_ms: 1000,
        overload_status: 429,
        drain_delay_ms: 0,
        drain_timeout_ms: 0,
        models: { lazy: {} },
        registry: { store: {} },
        compat: {},
        auth: { jwt: {} },
        triggers: {
          path: join(directory, 'outbox'),
          endpoints: { ops: { url: hook.url, secret_env: 'HOOK' } },
          ...triggers,
        },
      });
      const log: string[] = [];
      const note = (message: string) => void log.push(message);
      let ids = 0;
      room = await TriggerRoom.open({
        config,
        room: {
          audit,
          store: { state: new StateFolder(directory, note) },
          registry: { has: (model: string) => model === 'digits' },
        } as never,
        sources: () => [],
        log: { info: note, warn: note, error: note, debug: note } as never,
        environment: { HOOK: secret },
        now: () => performance.now(),
        epochNow: Date.now,
        random: Math.random,
        newId: () => `id-${process.pid}-${performance.now()}-${++ids}`.replaceAll('.', '-'),
      });
      const close = async () => {
        await room!.close();
        await audit.close();
      };
      return { room: room!, audit, close, log };
    },
  };
}

const published = (version: string, previous: string | null, reason: string): JsonObject => ({
  model: 'm',
  version,
  previous,
  reason,
});

describe('an entry of the audit log', () => {
  const typeOf = (action: AuditAction, detail: JsonObject = {}) => {
    const facts = { action, actor: 'system:test', subject: 'm@2', detail, ts: '2026-06-01T00:00:00.000Z' };
    return eventOf(sealed({ seq: 6, hash: '0'.repeat(64) }, facts))?.type;
  };

  it('is told as what it is, or not at all', () => {
    assert.equal(typeOf('canary.advanced'), 'io.sluice.canary.advanced');
    assert.equal(typeOf('canary.held'), 'io.sluice.canary.held');
    assert.equal(typeOf('canary.rolled_back'), 'io.sluice.canary.rolled_back');
    assert.equal(typeOf('canary.promoted'), 'io.sluice.canary.promoted');
    assert.equal(typeOf('version.quarantined'), 'io.sluice.model.quarantined');
    assert.equal(typeOf('break_glass'), 'io.sluice.governance.break_glass');
    for (const action of ['started', 'load', 'rollback', 'trigger.fired', 'canary.started'] as const)
      assert.equal(typeOf(action), undefined, action);
  });

  it('that a version answers is told when another did before, and as a rollback when it is one', () => {
    const publishedAs = (...detail: Parameters<typeof published>) => typeOf('version.published', published(...detail));
    assert.equal(publishedAs('2', '1', 'offer'), 'io.sluice.model.promoted');
    assert.equal(publishedAs('2', null, 'start'), undefined);
    assert.equal(publishedAs('2', '2', 'settings'), undefined);
    for (const reason of ['rollback', 'rollback: too slow', 'guard: errors', 'quarantine: crashed'])
      assert.equal(publishedAs('1', '2', reason), 'io.sluice.model.rolled_back', reason);
  });
});

describe('the audit log, followed', () => {
  const recordsOf = (count: number): AuditRecord[] => {
    let head = emptyHead;
    return Array.from({ length: count }, (_, index) => {
      const facts = { actor: 'a', subject: `m@${index + 1}`, detail: {}, ts: '2026-06-01T00:00:00.000Z' };
      const record = sealed(head, { ...facts, action: 'canary.held' });
      head = { seq: record.entry.seq, hash: record.hash };
      return record;
    });
  };
  const followOf = (records: AuditRecord[], followed: number | undefined) => {
    const raised: number[] = [];
    const marks: number[] = [];
    const follow = new AuditFollow({
      audit: {
        get head() {
          return { seq: records.length, hash: '' };
        },
        async *read(from = 1) {
          yield* records.slice(from - 1);
        },
      },
      followed,
      raise: async (_, seq) => {
        raised.push(seq);
      },
      mark: async (seq) => {
        marks.push(seq);
      },
      report: (what, error) => assert.fail(`${what}: ${error}`),
    });
    return { follow, raised, marks };
  };

  it('that begins anew is followed from its end', async () => {
    const { follow, raised, marks } = followOf(recordsOf(3), 9);
    await follow.settled();
    assert.deepEqual([raised, marks], [[], [3]]);
  });

  it('leaves out no entry that nobody told of, and takes none twice', async () => {
    const records = recordsOf(6);
    const there = records.slice(0, 2);
    const { follow, raised, marks } = followOf(there, 1);
    await follow.settled();
    there.push(...records.slice(2, 5));
    follow.written(records[4]!);
    follow.written(records[3]!);
    there.push(records[5]!);
    follow.written(records[5]!);
    await follow.close();
    assert.deepEqual([raised, marks], [[2, 3, 4, 5, 6], [6]]);
  });
});

describe('the room of triggers', () => {
  it('tells of entries once, of those too that were written while it was not there', async (context) => {
    const home = await homeOf(context);
    const first = await home.open({ endpoints: {}, retrain: { digits: { when: { cron: '0 3 * * 1' } } } });
    await first.audit.append('version.quarantined', 'm@1', {});
    await first.close();
    const second = await home.open();
    const quarantined = second.audit.append('version.quarantined', 'm@2', { reason: 'crashed' });
    await quarantined;
    await home.hook.count(1);
    await second.room.close();
    await second.audit.append('canary.promoted', 'm@3', {});
    await second.audit.close();
    const third = await home.open();
    await home.hook.count(2);
    await third.close();
    const fourth = await home.open();
    await fourth.audit.append('canary.held', 'm@4', {});
    await home.hook.count(3);
    await fourth.close();
    assert.deepEqual(
      home.told().map(({ subject }) => subject),
      ['m@2', 'm@3', 'm@4'],
    );
    const { seq, hash } = await quarantined;
    const [told] = home.told();
    assert.deepEqual(told!.data.audit_head, { seq, hash });
    assert.equal(told!.id, `audit-${hash.slice(0, 32)}`);
    assert.equal(told!.data.reason, 'crashed');
  });

  it('does not tell of what was in the log before its first start', async (context) => {
    const home = await homeOf(context);
    const before = await home.open({
      endpoints: {},
      retrain: { digits: { when: { cron: '0 3 * * 1' } } },
      path: freshDirectory(context),
    });
    await before.audit.append('version.quarantined', 'm@1', {});
    await before.close();
    const first = await home.open();
    await first.audit.append('canary.held', 'm@2', {});
    await home.hook.count(1);
    await first.close();
    assert.deepEqual(
      home.told().map(({ subject }) => subject),
      ['m@2'],
    );
  });

  it('asks for a training when drift says so, once, and closes it with the version that names it', async (context) => {
    const home = await homeOf(context);
    const { room, audit, close } = await home.open({
      retrain: { digits: { when: { drift_share: '>=0.3' }, cooldown_h: 0 } },
    });
    const facts = { version: '1', query: 'SELECT 1', window: { rows: 500 } };
    await room.look('digits', { driftShare: 0.4 }, facts);
    await room.look('digits', { driftShare: 0.4 }, facts);
    await home.hook.count(1);
    const requests = () => home.told().filter(({ type }) => type === 'io.sluice.retrain.requested');
    assert.equal(requests().length, 1);
    const [request] = requests();
    assert.deepEqual([request!.data.trigger_id, request!.data.dedup_key], [request!.id, 'digits/retrain']);
    assert.deepEqual([request!.data.signals, request!.data.query], [{ driftShare: 0.4 }, 'SELECT 1']);
    room.admitted({ model: 'digits', version: '2' }, { trigger_id: 'another' });
    room.admitted({ model: 'digits', version: '2' }, 'nonsense');
    room.admitted({ model: 'digits', version: '2' }, undefined);
    room.admitted({ model: 'digits', version: '2' }, { trigger_id: request!.id });
    await eventually(async () => assert.equal((await audit.tail(1))[0]?.entry.action, 'trigger.closed'));
    const actions = (await audit.tail(100)).map(({ entry }) => entry.action);
    assert.deepEqual(actions, ['trigger.fired', 'trigger.closed']);
    const [fired] = await audit.tail(2);
    assert.deepEqual((fired!.entry.detail.numbers as JsonObject).driftShare, '0.4');
    await close();
  });

  it('only says what it would have done in a dry run', async (context) => {
    const home = await homeOf(context);
    const { room, audit, close, log } = await home.open({
      retrain: { digits: { when: { drift_share: '>0' }, dry_run: true } },
    });
    await room.look('digits', { driftShare: 1 });
    await room.look('digits', { driftShare: 1 });
    assert.deepEqual(log, ['trigger.fired']);
    assert.equal(audit.head.seq, 0);
    await close();
    assert.deepEqual(home.told(), []);
  });

  it('never throws at a room that raises, and counts what found no place', async (context) => {
    const home = await homeOf(context);
    const { room, close, log } = await home.open({ max_events: 1 });
    const huge = { text: 'x'.repeat(300_000) };
    await room.raise('io.sluice.experiment.srm', 'digits', huge);
    assert.deepEqual(log, ['webhook.refused', 'trigger.failed']);
    const family = room.families().find(({ name }) => name === 'sluice_webhook_deliveries_total');
    assert.deepEqual(family?.series, [{ labels: { result: 'refused' }, value: 1 }]);
    await assert.rejects(room.operate({ ask: 'close', model: 'digits', reason: '' }, 'operator:a'), GatewayError);
    await close();
  });
});

it('a source is stale when it is down at two looks, and is said once for each time', () => {
  const said: string[] = [];
  let isUp = false;
  const source = (): SourceState => ({ name: 'lake', type: 's3', isUp, reason: 'refused', lastSuccess: null });
  const stale = new StaleSources({ states: () => [source()], stale: ({ name }) => said.push(name) });
  const look = (up: boolean, times = 1) => {
    isUp = up;
    for (let n = 0; n < times; n++) stale.look();
  };
  look(false);
  assert.deepEqual(said, []);
  look(true);
  look(false, 5);
  assert.deepEqual(said, ['lake']);
  look(true);
  look(false, 2);
  assert.deepEqual(said, ['lake', 'lake']);
  stale.stop();
});
