/** Who may bring labels. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Labellers } from '../src/control/labellers.js';

const environment = { LOOKS: 'looks-0123456789abcdef', WORKS: 'works-0123456789abcdef', OWNS: 'owns-0123456789abcdef' };
const tokens = {
  looks: { role: 'viewer', token_env: 'LOOKS' },
  works: { role: 'operator', token_env: 'WORKS' },
  owns: { role: 'admin', token_env: 'OWNS' },
} as const;

function labellers(role: string, admin: object, refused: string[] = []): Labellers {
  const config = { labels: { role }, admin } as unknown as ConstructorParameters<typeof Labellers>[0]['config'];
  return new Labellers({ config, environment, onRefused: (kind) => refused.push(kind) });
}

test('labels need a token with the role that is asked for, or a higher one', () => {
  const refused: string[] = [];
  const gate = labellers('operator', { token: '', tokens }, refused);
  gate.check(`Bearer ${environment.WORKS}`, 'm');
  gate.check(`bearer ${environment.OWNS}`, 'm');
  assert.deepEqual(refused, []);
  assert.throws(() => gate.check(`Bearer ${environment.LOOKS}`, 'm'), { code: 'PERMISSION_DENIED' });
  for (const wrong of ['', 'Bearer', 'Bearer nobody', `Basic ${environment.WORKS}`, `Bearer ${environment.WORKS}x`]) {
    assert.throws(() => gate.check(wrong, 'm'), { code: 'UNAUTHENTICATED' }, wrong);
  }
  assert.deepEqual(refused, ['feedback_forbidden', ...Array.from({ length: 5 }, () => 'feedback_unauthenticated')]);
});

test('a token for labels brings those of its models, and does nothing else', () => {
  const refused: string[] = [];
  const own = { role: 'feedback', token_env: 'LOOKS', models: ['cancer', 'digits'] } as const;
  const admin = { token: '', tokens: { own, all: { role: 'feedback', token_env: 'WORKS' } } };
  const gate = labellers('feedback', admin, refused);
  for (const model of ['cancer', 'digits']) gate.check(`Bearer ${environment.LOOKS}`, model);
  for (const model of ['cancer', 'fraud']) gate.check(`Bearer ${environment.WORKS}`, model);
  assert.deepEqual(refused, []);
  assert.throws(() => gate.check(`Bearer ${environment.LOOKS}`, 'fraud'), {
    code: 'PERMISSION_DENIED',
    message: "feedback: the token brings no labels of model 'fraud'",
  });
  assert.throws(() => labellers('viewer', admin).check(`Bearer ${environment.WORKS}`, 'm'), {
    message: /needs the role viewer, and the token has the role feedback/,
  });
  assert.deepEqual(refused, ['feedback_forbidden']);
});

test('without a role anybody may bring labels, also where the admin port has tokens', () => {
  labellers('none', { token: '', tokens }).check('', 'm');
  labellers('none', { token: '', tokens: {} }).check('Bearer whatever', 'm');
});

test('a role that nobody can have is refused at the start', () => {
  assert.throws(() => labellers('viewer', { token: '', tokens: {} }), {
    code: 'INVALID_ARGUMENT',
    message: /labels\.role/,
  });
});
