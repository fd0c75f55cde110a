/** What a webhook carries: its event, its signature, and the other forms of both. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { triggerTypes } from '../src/core/trigger.js';
import { alertmanagerText } from '../src/triggers/alertmanager.js';
import { checkEvent, cloudEventText } from '../src/triggers/event.js';
import { hubSignatureHeader, signatureHeaders, webhookKeysOf } from '../src/triggers/signature.js';
import { eventOf, secret } from './triggers-fixture.js';

describe('a signature', () => {
  it('is the one that Standard Webhooks gives as its example', () => {
    const signed = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1614265330, body: '{"test": 2432232314}' };
    assert.deepEqual(signatureHeaders(webhookKeysOf(secret), signed), {
      'webhook-id': signed.id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  it('is made with every key while one is replaced, the new one first', () => {
    const other = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    const signed = { id: 'a', timestamp: 1, body: 'ü' };
    const headers = signatureHeaders(webhookKeysOf(`${other} ${secret}`), signed);
    const expected = createHmac('sha256', Buffer.alloc(32, 7)).update('a.1.ü').digest('base64');
    const [first, second] = headers['webhook-signature']!.split(' ');
    assert.equal(first, `v1,${expected}`);
    assert.equal(second, signatureHeaders(webhookKeysOf(secret), signed)['webhook-signature']);
  });

  it('in the older form is the one that GitHub gives as its example', () => {
    const text = "It's a Secret to Everybody";
    assert.deepEqual(hubSignatureHeader([{ text, bytes: Buffer.alloc(0) }], 'Hello, World!'), {
      'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
    });
  });

  it('is not made with a secret that is none, which no message shows', () => {
    const refused = (text: string, message: RegExp) =>
      assert.throws(
        () => webhookKeysOf(text),
        (error: Error) => {
          assert.match(error.message, message);
          assert.ok(text.trim().length < 3 || !error.message.includes(text));
          return true;
        },
      );
    refused('', /1 to 4 secrets, got 0/);
    refused('  ', /got 0/);
    refused('hunter2hunter2hunter2', /whsec_/);
    refused('whsec_%%%', /whsec_/);
    refused(`whsec_${Buffer.alloc(23, 1).toString('base64')}`, /at least 24 bytes, got 23/);
    refused(Array(5).fill(secret).join(' '), /got 5/);
  });
});

describe('an event', () => {
  it('is a CloudEvent in structured JSON', () => {
    const { specversion, id, source, type, subject, time, datacontenttype, data, ...rest } = JSON.parse(
      cloudEventText(eventOf('e1')),
    );
    assert.deepEqual([specversion, id, source, type], ['1.0', 'e1', '/sluice/test', 'io.sluice.drift.detected']);
    assert.deepEqual([subject, time, datacontenttype], ['digits@1', '2026-06-01T00:00:00.000Z', 'application/json']);
    assert.deepEqual(data, { score: 0.4 });
    assert.deepEqual(rest, {});
  });

  it('is refused when no receiver could take it', () => {
    checkEvent(eventOf('e1'));
    assert.throws(() => checkEvent(eventOf('e1', 'digits@1', 'io.sluice.other' as never)), /closed list/);
    assert.throws(() => checkEvent(eventOf('a b')), /id/);
    assert.throws(() => checkEvent(eventOf('')), /id/);
    assert.throws(() => checkEvent(eventOf('x'.repeat(129))), /id/);
    assert.throws(() => checkEvent(eventOf('e1', '')), /subject/);
    assert.throws(() => checkEvent(eventOf('e1', 'a\nb')), /subject/);
    assert.throws(() => checkEvent(eventOf('e1', 'x'.repeat(301))), /subject/);
  });
});

describe("Alertmanager's payload", () => {
  const payloadOf = (type: (typeof triggerTypes)[number]) =>
    JSON.parse(alertmanagerText(eventOf('e1', 'digits@1', type), 'ops'));

  it('fires with labels that tell alerts apart', () => {
    const { version, status, receiver, alerts, groupLabels, commonLabels } = payloadOf(
      'io.sluice.data_quality.detected',
    );
    assert.deepEqual([version, status, receiver], ['4', 'firing', 'ops']);
    assert.deepEqual(groupLabels, { alertname: 'SluiceDataQualityDetected', subject: 'digits@1' });
    const [alert] = alerts;
    assert.deepEqual(alert.labels, commonLabels);
    assert.deepEqual([alert.labels.model, alert.labels.version], ['digits', '1']);
    assert.deepEqual([alert.startsAt, alert.endsAt], ['2026-06-01T00:00:00.000Z', '0001-01-01T00:00:00Z']);
    assert.deepEqual(JSON.parse(alert.annotations.data), { score: 0.4 });
  });

  it('resolves under the fingerprint and the group of what fired', () => {
    for (const [fired, ended] of [
      ['io.sluice.drift.detected', 'io.sluice.drift.resolved'],
      ['io.sluice.quality.degraded', 'io.sluice.quality.recovered'],
    ] as const) {
      const [began, over] = [payloadOf(fired), payloadOf(ended)];
      assert.equal(over.status, 'resolved');
      assert.equal(over.groupKey, began.groupKey);
      assert.equal(over.alerts[0].fingerprint, began.alerts[0].fingerprint);
      assert.equal(over.alerts[0].endsAt, over.alerts[0].startsAt);
    }
  });

  it('has another fingerprint for another subject and another type', () => {
    const prints = new Set(triggerTypes.map((type) => payloadOf(type).alerts[0].fingerprint));
    assert.equal(prints.size, triggerTypes.length - 2);
    const other = JSON.parse(alertmanagerText(eventOf('e1', 'digits@2'), 'ops'));
    assert.ok(!prints.has(other.alerts[0].fingerprint));
  });
});
