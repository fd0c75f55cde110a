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
  gate.check(`Bearer ${environment.WORKS}`);
  gate.check(`bearer ${environment.OWNS}`);
  assert.deepEqual(refused, []);
  assert.throws(() => gate.check(`Bearer ${environment.LOOKS}`), { code: 'PERMISSION_DENIED' });
  for (const wrong of ['', 'Bearer', 'Bearer nobody', `Basic ${environment.WORKS}`, `Bearer ${environment.WORKS}x`]) {
    assert.throws(() => gate.check(wrong), { code: 'UNAUTHENTICATED' }, wrong);
  }
  assert.deepEqual(refused, ['feedback_forbidden', ...Array.from({ length: 5 }, () => 'feedback_unauthenticated')]);
});

test('without a role anybody may bring labels, also where the admin port has tokens', () => {
  labellers('none', { token: '', tokens }).check('');
  labellers('none', { token: '', tokens: {} }).check('Bearer whatever');
});

test('a role that nobody can have is refused at the start', () => {
  assert.throws(() => labellers('viewer', { token: '', tokens: {} }), {
    code: 'INVALID_ARGUMENT',
    message: /labels\.role/,
  });
});
