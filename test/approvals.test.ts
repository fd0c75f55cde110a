/** Approval before promotion: who counts, for what, until when, and how often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configHash } from '../src/audit/config-hash.js';
import {
  type ApprovalPolicy,
  type Approvals,
  approvalsSchema,
  awaited,
  breakTheGlass,
  type Change,
  give,
  isAsked,
  isPassedOver,
  judge,
  lacking,
  noApprovals,
  use,
  voidChanged,
  voidExpired,
} from '../src/registry/approvals.js';

const policy: ApprovalPolicy = {
  required: 2,
  roles: ['reviewer', 'owner'],
  distinctFromRequester: true,
  expiresS: 604_800,
  isForCanary: false,
  isProfileRequired: false,
};
const change: Change = {
  model: 'fraud',
  version: '7',
  artifact_sha256: 'a'.repeat(64),
  config_hash: configHash({ threshold: 0.5 }),
  action: 'champion',
};
const now = Date.parse('2026-06-14T10:30:00.000Z');
const weekMs = policy.expiresS * 1000;
const asked = { policy, requester: 'rita', now };

function approved(by: readonly string[], state: Approvals = noApprovals, what: Change = change): Approvals {
  let next = state;
  for (const approver of by) {
    next = give(next, what, { ...asked, approver, role: 'reviewer', reason: 'looks right' }).next;
  }
  return next;
}

test('a change is approved by as many people as the policy asks for', () => {
  assert.equal(
    judge(approved(['ann']), change, asked).reason,
    'champion of fraud@7 needs 2 approvals by reviewer or owner other than rita, got 1',
  );
  const verdict = judge(approved(['ann', 'bob']), change, asked);
  assert.equal(verdict.isApproved, true);
  assert.deepEqual(
    verdict.by.map(({ approver }) => approver),
    ['ann', 'bob'],
  );
});

test('a policy that asks for nobody approves everything', () => {
  assert.equal(judge(noApprovals, change, { ...asked, policy: { ...policy, required: 0 } }).isApproved, true);
});

test('one person counts once, however often they approve', () => {
  const state = approved(['ann', 'ann']);
  assert.equal(state.approvals.length, 1);
  assert.equal(judge(state, change, asked).isApproved, false);
  const twice = { ...state, approvals: [...state.approvals, { ...state.approvals[0]!, reason: 'again' }] };
  assert.equal(judge(twice, change, asked).isApproved, false);
});

test('only the roles of the policy may approve, when it is given and when it is counted', () => {
  assert.throws(() => give(noApprovals, change, { ...asked, approver: 'ann', role: 'reader', reason: '' }), {
    code: 'PERMISSION_DENIED',
    message: 'expected one of the roles reviewer, owner to approve champion of fraud@7, got reader',
  });
  const owners = { ...policy, roles: ['owner'] };
  assert.equal(judge(approved(['ann', 'bob']), change, { ...asked, policy: owners }).isApproved, false);
});

test('who asked for a change cannot approve it, unless the policy lets them', () => {
  assert.throws(() => approved(['rita']), {
    code: 'PERMISSION_DENIED',
    message: /^rita asked for champion of fraud@7/,
  });
  const state = approved(['ann', 'bob']);
  assert.equal(judge(state, change, { ...asked, requester: 'bob' }).isApproved, false);
  const alone = { ...asked, policy: { ...policy, distinctFromRequester: false } };
  const own = give(noApprovals, change, { ...alone, approver: 'rita', role: 'owner', reason: '' }).next;
  assert.equal(judge(own, change, { ...alone, policy: { ...alone.policy, required: 1 } }).isApproved, true);
});

test('an approval holds until its time is over, to the millisecond', () => {
  const state = approved(['ann', 'bob']);
  assert.equal(state.approvals[0]!.expires, '2026-06-21T10:30:00.000Z');
  assert.equal(judge(state, change, { ...asked, now: now + weekMs - 1 }).isApproved, true);
  assert.equal(judge(state, change, { ...asked, now: now + weekMs }).isApproved, false);
  assert.equal(voidExpired(state, now + weekMs - 1).voided.length, 0);
  const { next, voided } = voidExpired(state, now + weekMs);
  assert.deepEqual([next.approvals.length, voided.length], [0, 2]);
});

test('an approval is for this change alone', () => {
  const others: readonly Partial<Change>[] = [
    { model: 'digits' },
    { version: '8' },
    { action: 'breaking' },
    { artifact_sha256: `b${'a'.repeat(63)}` },
    { config_hash: configHash({ threshold: 0.51 }) },
  ];
  const state = approved(['ann', 'bob']);
  for (const other of others) {
    assert.equal(judge(state, { ...change, ...other }, asked).isApproved, false, JSON.stringify(other));
  }
});

test('one changed byte and one changed threshold each void the approvals of that version', () => {
  const fraud8 = { ...change, version: '8' };
  const state = approved(['ann'], approved(['ann', 'bob']), fraud8);
  assert.deepEqual(voidChanged(state, change).voided, []);
  for (const standing of [
    { ...change, artifact_sha256: `${'a'.repeat(63)}b` },
    { ...change, config_hash: configHash({ threshold: 0.500001 }) },
  ]) {
    const { next, voided } = voidChanged(state, standing);
    assert.deepEqual(
      voided.map(({ approver, version }) => [approver, version]),
      [
        ['ann', '7'],
        ['bob', '7'],
      ],
    );
    assert.deepEqual(
      next.approvals.map(({ version }) => version),
      ['8'],
    );
    // Going back to what it was does not bring them back.
    assert.equal(judge(next, change, asked).isApproved, false);
  }
});

test('an approval is used once, and one that was not needed stays', () => {
  const state = approved(['ann', 'bob', 'cid']);
  const { by } = judge(state, change, asked);
  const next = use(state, by);
  assert.deepEqual(
    next.approvals.map(({ approver }) => approver),
    ['cid'],
  );
  assert.equal(judge(next, change, asked).isApproved, false);
});

test('the digests that approvals in force wait for are known', () => {
  const state = approved(['ann', 'bob']);
  assert.deepEqual([...awaited(state, now)], ['a'.repeat(64)]);
  assert.deepEqual([...awaited(state, now + weekMs)], []);
});

test('only an owner with a reason passes over approvals, and it is told ever after', () => {
  const done = { by: 'olga', role: 'owner', reason: 'outage 4711', now };
  assert.throws(() => breakTheGlass(noApprovals, change, { ...done, role: 'reviewer' }), { code: 'PERMISSION_DENIED' });
  assert.throws(() => breakTheGlass(noApprovals, change, { ...done, reason: ' ' }), {
    code: 'INVALID_ARGUMENT',
    message: 'expected a reason for passing over the approvals of champion of fraud@7',
  });
  const { next, entry } = breakTheGlass(approved(['ann']), change, done);
  assert.deepEqual(entry, { ...change, by: 'olga', reason: 'outage 4711', at: '2026-06-14T10:30:00.000Z' });
  assert.equal(next.approvals.length, 1);
  assert.equal(isPassedOver(next, change), true);
  for (const other of [{ artifact_sha256: 'b'.repeat(64) }, { version: '8' }, { action: 'canary' as const }])
    assert.equal(isPassedOver(next, { ...change, ...other }), false);
});

test('a share of a route is asked for only where the policy says so, for a profile as well as for people', () => {
  const share: Change = { ...change, action: 'canary' };
  const lacks = (rules: Partial<ApprovalPolicy>, state = noApprovals, hasProfile = false) =>
    lacking(state, share, { ...asked, policy: { ...policy, ...rules }, hasProfile });
  assert.deepEqual([isAsked(policy, 'canary'), lacks({})], [false, []]);
  const people = { isForCanary: true };
  assert.deepEqual(lacks(people, approved(['ann'], noApprovals, share)), [
    'canary of fraud@7 needs 2 approvals by reviewer or owner other than rita, got 1: sluice models approve fraud@7 --canary',
  ]);
  assert.equal(lacks(people, approved(['ann', 'bob'])).length, 1, 'those for answering by default are others');
  assert.deepEqual(lacks(people, approved(['ann', 'bob'], noApprovals, share)), []);

  const profile = { required: 0, isProfileRequired: true };
  assert.equal(isAsked({ ...policy, ...profile }, 'canary'), true);
  assert.equal(isAsked({ ...policy, ...profile }, 'champion'), false);
  const [line, ...more] = lacks(profile);
  assert.match(line!, /^canary of fraud@7 needs a reference profile .*sluice profile build.* --canary --break-glass/);
  assert.deepEqual(more, []);
  assert.deepEqual(lacks(profile, noApprovals, true), []);
  assert.equal(lacks({ ...people, ...profile, required: 1 }).length, 2, 'all that is missing is told at once');
  const done = { by: 'olga', role: 'owner', reason: 'outage 4711', now };
  assert.deepEqual(lacks({ ...people, ...profile, required: 1 }, breakTheGlass(noApprovals, share, done).next), []);
});

test('the state is what its schema says, and the schema refuses what the rules could not read', () => {
  const { next: state } = breakTheGlass(approved(['ann', 'bob']), change, { by: 'o', role: 'owner', reason: 'r', now });
  assert.deepEqual(approvalsSchema.parse(JSON.parse(JSON.stringify(state))), state);
  const wrong: readonly object[] = [
    { expires: 'soon' },
    { artifact_sha256: 'A'.repeat(64) },
    { version: '07' },
    { model: '../x' },
    { action: 'everything' },
    { more: 1 },
  ];
  for (const one of wrong) {
    const approvals = [{ ...state.approvals[0], ...one }];
    assert.equal(approvalsSchema.safeParse({ ...state, approvals }).success, false, JSON.stringify(one));
  }
  assert.throws(() => approved(['ann'], noApprovals, { ...change, config_hash: 'none' }), {
    code: 'INVALID_ARGUMENT',
    message: "approval: 'config_hash': expected 64 hex digits",
  });
});

test('the number of approvals that are kept has a limit', () => {
  const [one] = approved(['ann']).approvals;
  const full = { ...noApprovals, approvals: Array.from({ length: 10_000 }, () => ({ ...one!, version: '1' })) };
  assert.throws(() => approved(['bob'], full), { code: 'RESOURCE_EXHAUSTED' });
});
