/**
 * Webhooks: who is believed, in which order it is checked, and that nothing but a hint comes of it.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { Refusal } from '../src/registry/refusal.js';
import {
  type Delivery,
  genericHintOf,
  HeardDeliveries,
  mlflowHintOf,
  webhookBodyBytesMax,
} from '../src/registry/webhook.js';
import { hookHeadersOf } from './servers/mlflow-hooks.js';

const secret = 's3cret-ü';
const at = 1_760_000_000;
const nowMs = at * 1000;
const event = JSON.stringify({
  entity: 'model_version_alias',
  action: 'created',
  timestamp: '2026-06-14T10:30:00Z',
  data: { name: 'fraud', alias: 'champion', version: '8' },
});

const delivery = (headers: Delivery['headers'], body: string | Uint8Array = event): Delivery => ({
  source: 'main',
  headers,
  body: Buffer.from(body),
});

const signed = (body = event, seconds = at) => delivery(hookHeadersOf(secret, body, seconds), body);
const trust = (ms = nowMs, heard = new HeardDeliveries()) => ({ secret, heard, nowMs: ms });

const isRefusal = (reason: RegExp) => (error: unknown) =>
  error instanceof Refusal && error.kind === 'webhook' && reason.test(error.message);

describe('a webhook of MLflow', () => {
  it('is a hint to poll its source for the model that it names', () => {
    assert.deepEqual(mlflowHintOf(signed(), trust()), { source: 'main', model: 'fraud' });
  });

  it('is a hint for the whole source when it names no model that could be served', () => {
    for (const body of ['{"data":{"name":"../../etc"}}', '{"data":null}', '[]', 'no JSON at all', '']) {
      assert.deepEqual(mlflowHintOf(signed(body), trust()), { source: 'main', model: undefined }, body);
    }
  });

  it('may be five minutes off, either way, and not a second more', () => {
    for (const seconds of [at - 300, at + 300]) assert.ok(mlflowHintOf(signed(event, seconds), trust()));
    for (const seconds of [at - 301, at + 301]) {
      assert.throws(() => mlflowHintOf(signed(event, seconds), trust()), isRefusal(/300 s from now/));
    }
  });

  it('is refused without each of its headers, or with one that is malformed', () => {
    const { headers } = signed();
    const without = (name: string, value?: string) => delivery({ ...headers, [name]: value });
    assert.throws(() => mlflowHintOf(without('x-mlflow-timestamp'), trust()), isRefusal(/x-mlflow-timestamp/));
    assert.throws(() => mlflowHintOf(without('x-mlflow-timestamp', '1.7e9'), trust()), isRefusal(/unix seconds/));
    assert.throws(() => mlflowHintOf(without('x-mlflow-delivery-id'), trust()), isRefusal(/delivery-id/));
    const long = 'x'.repeat(257);
    assert.throws(() => mlflowHintOf(without('x-mlflow-delivery-id', long), trust()), isRefusal(/delivery-id/));
    for (const signature of [undefined, '', 'v1,', 'v1,AAAA', headers['x-mlflow-signature']!.replace('v1', 'v2')]) {
      assert.throws(() => mlflowHintOf(without('x-mlflow-signature', signature), trust()), isRefusal(/signature/));
    }
  });

  it('is refused when one byte of its body, its time, its id or the secret is another', () => {
    const good = signed();
    const body = Buffer.from(good.body);
    body[3]! ^= 1;
    const changed = [
      { ...good, body },
      delivery({ ...good.headers, 'x-mlflow-timestamp': String(at + 1) }),
      delivery({ ...good.headers, 'x-mlflow-delivery-id': 'another' }),
    ];
    for (const one of changed) assert.throws(() => mlflowHintOf(one, trust()), isRefusal(/signature/));
    assert.throws(() => mlflowHintOf(good, { ...trust(), secret: 'other' }), isRefusal(/signature/));
  });

  it('is signed over raw bytes, whatever they are', () => {
    const body = Buffer.from([0xff, 0x00, 0xfe]);
    const id = 'one';
    const mac = createHmac('sha256', secret).update(`${id}.${at}.`).update(body).digest('base64');
    const headers = { 'x-mlflow-timestamp': String(at), 'x-mlflow-delivery-id': id, 'x-mlflow-signature': `v1,${mac}` };
    assert.ok(mlflowHintOf(delivery(headers, body), trust()));
  });

  it('counts once in ten minutes', () => {
    const heard = new HeardDeliveries();
    const one = signed(event, at + 300);
    assert.ok(mlflowHintOf(one, trust(nowMs, heard)));
    assert.throws(() => mlflowHintOf(one, trust(nowMs + 599_000, heard)), isRefusal(/delivered before/));
  });

  it('is checked in order: length, time, signature, repetition', () => {
    const heard = new HeardDeliveries();
    const tooLong = 'x'.repeat(webhookBodyBytesMax + 1);
    const isTooLong = (error: unknown) => error instanceof GatewayError && error.reason === 'too_large';
    assert.throws(() => mlflowHintOf(delivery({}, tooLong), trust(nowMs, heard)), isTooLong);
    const old = delivery({ ...signed(event, at - 400).headers, 'x-mlflow-signature': 'v1,wrong' });
    assert.throws(() => mlflowHintOf(old, trust(nowMs, heard)), isRefusal(/from now/));
    const forged = delivery({ ...signed().headers, 'x-mlflow-signature': 'v1,wrong' });
    assert.throws(() => mlflowHintOf(forged, trust(nowMs, heard)), isRefusal(/signature/));
    // A forged delivery must not make the real one of the same id a repetition.
    assert.equal(heard.size, 0);
  });

  it('of exactly 64 KiB is read', () => {
    assert.ok(mlflowHintOf(signed('x'.repeat(webhookBodyBytesMax)), trust()));
  });

  it('is never believed without a secret', () => {
    assert.throws(() => mlflowHintOf(signed(), { ...trust(), secret: '' }), /no secret is set/);
    assert.throws(() => genericHintOf(delivery({ authorization: 'Bearer x' }), ''), /no secret is set/);
  });
});

describe('delivery ids', () => {
  it('are forgotten after ten minutes', () => {
    const heard = new HeardDeliveries();
    assert.equal(heard.isNew('a', 0), true);
    assert.equal(heard.isNew('a', 600_000), false);
    assert.equal(heard.isNew('a', 600_001), true);
    assert.equal(heard.size, 1);
  });

  it('are at most 10,000, the oldest making room', () => {
    const heard = new HeardDeliveries();
    for (let n = 0; n < 10_050; n++) assert.equal(heard.isNew(`d${n}`, 1000), true);
    assert.equal(heard.size, 10_000);
    assert.equal(heard.isNew('d10049', 1000), false);
  });
});

describe('a generic webhook', () => {
  const body = '{"model":"fraud"}';
  const mac = createHmac('sha256', secret).update(body).digest('hex');

  it('is believed by the HMAC of its body in hex', () => {
    const hint = { source: 'main', model: 'fraud' };
    assert.deepEqual(genericHintOf(delivery({ 'x-sluice-signature': mac }, body), secret), hint);
    assert.deepEqual(genericHintOf(delivery({ 'x-sluice-signature': mac.toUpperCase() }, body), secret), hint);
  });

  it('is believed by the secret as a bearer token', () => {
    const token = 'a-long-token';
    assert.ok(genericHintOf(delivery({ authorization: `Bearer ${token}` }, ''), token));
    for (const authorization of [`Bearer ${token}x`, `Basic ${token}`, token, 'Bearer ']) {
      assert.throws(() => genericHintOf(delivery({ authorization }), token), isRefusal(/token/));
    }
    assert.throws(() => genericHintOf(delivery({}), token), isRefusal(/neither/));
  });

  it('with a wrong signature is not saved by a right token', () => {
    for (const signature of ['', 'zz', mac.slice(2), mac.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))]) {
      const headers = { 'x-sluice-signature': signature, authorization: 'Bearer plain' };
      assert.throws(() => genericHintOf(delivery(headers, body), 'plain'), isRefusal(/signature/), signature);
    }
  });

  it('has a limit on its body, too', () => {
    const long = 'x'.repeat(webhookBodyBytesMax + 1);
    assert.throws(() => genericHintOf(delivery({}, long), secret), /at most 65536/);
  });
});
