/** Claims of verified tokens as keys and attributes: which tokens are believed, for how long, and what a claim is as a text. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { resolveConfig } from '../src/config/load.js';
import { tokenKeysIn } from '../src/config/token-keys.js';
import type { CallTerms } from '../src/core/inference.js';
import type { CallPlace } from '../src/core/route.js';
import type { TokenAlgorithm, TokenRules } from '../src/core/token-rules.js';
import { decide, splitOf } from '../src/routing/assignment.js';
import { keyOf } from '../src/routing/key.js';
import { tokenCheck } from '../src/routing/token-check.js';
import { Tokens } from '../src/routing/tokens.js';
import { experimentOf } from './experiment-fixture.js';
import { ecIssuer, encoded, jwksOf, rsaIssuer, tokenOf } from './tokens-fixture.js';

const [ec, rsa, stranger] = [ecIssuer(), rsaIssuer(), ecIssuer()];
const both: readonly TokenAlgorithm[] = ['RS256', 'ES256'];
const nowS = 1_800_000_000;

/** A reader of tokens at a time that can be moved, and what it has counted. */
function opened(text: string, change: Partial<TokenRules> = {}, allowed = both) {
  const clock = clockAt(nowS * 1000);
  const tokens = new Tokens(clock);
  const rules = { keys: tokenKeysIn(text, allowed), issuer: '', audience: '', clockToleranceS: 0, keptMax: 100 };
  tokens.follow({ ...rules, ...change });
  const counted = () =>
    Object.fromEntries((tokens.families()[0]?.series ?? []).map(({ labels, value }) => [labels.result, value]));
  const claim = (token: string, name = 'sub') => tokens.claimOf(bearer(token), name);
  return { clock, tokens, counted, claim };
}

/** Of the wall, which may be set, and how far it has gone by itself. */
function clockAt(ms: number) {
  let passedMs = 0;
  return {
    epochMs: () => ms + passedMs,
    // Never 0, as the clock of a process that has started.
    now: () => 1000 + passedMs,
    pass: (forMs: number) => {
      passedMs += forMs;
    },
    set: (byMs: number) => {
      ms += byMs;
    },
  };
}

function callWith(authorization: string | undefined): CallTerms {
  return {
    requestId: 'r1',
    variant: '',
    header: (name) => (name === 'authorization' ? authorization : undefined),
    parameter: () => undefined,
  };
}

const bearer = (token: string) => callWith(`Bearer ${token}`);

const named = jwksOf({ e: ec, r: rsa });

test('a claim of a token by a known key is there, by ES256 and RS256, by JWKS and PEM, whatever the case of the scheme', () => {
  const { claim, tokens, counted } = opened(named);
  assert.equal(claim(tokenOf({ sub: 'u1' }, ec, { kid: 'e' })), 'u1');
  assert.equal(claim(tokenOf({ sub: 'u2' }, rsa, { kid: 'r' })), 'u2');
  assert.equal(claim(tokenOf({ sub: 'u3' }, rsa)), 'u3', 'the only key that fits');
  assert.equal(tokens.claimOf(callWith(`bEARER  ${tokenOf({ sub: 'u1' }, ec)}`), 'sub'), 'u1');
  const pem = opened(`${stranger.pem}\n${ec.pem}`);
  assert.equal(pem.claim(tokenOf({ sub: 'u1' }, ec, { kid: 'whatever' })), 'u1');
  assert.deepEqual(counted(), { found: 4 });
});

test('what is not believed is missing, and counted by its reason', () => {
  const rules = { issuer: 'https://id.example', audience: 'sluice' };
  const claims = { iss: rules.issuer, aud: ['other', 'sluice'], sub: 'u' };
  const good = tokenOf(claims, ec, { kid: 'e' });
  const [head = '', body = '', signature = ''] = good.split('.');
  const hmac = (secret: string) => {
    const signed = `${encoded({ alg: 'HS256', kid: 'r' })}.${body}`;
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  };
  const cases: readonly [string, string][] = [
    ['expired', tokenOf({ ...claims, exp: nowS }, ec, { kid: 'e' })],
    ['not_yet_valid', tokenOf({ ...claims, nbf: nowS + 1 }, ec, { kid: 'e' })],
    ['issuer', tokenOf({ ...claims, iss: 'https://evil.example' }, ec, { kid: 'e' })],
    ['issuer', tokenOf({ aud: 'sluice', sub: 'u' }, ec, { kid: 'e' })],
    ['audience', tokenOf({ ...claims, aud: 'other' }, ec, { kid: 'e' })],
    ['signature', tokenOf(claims, stranger, { kid: 'e' })],
    ['signature', `${head}.${encoded({ ...claims, sub: 'v' })}.${signature}`],
    ['unknown_key', tokenOf(claims, ec, { kid: 'r' })],
    ['unknown_key', tokenOf(claims, ec, { kid: 'x', jwk: ec.publicKey.export({ format: 'jwk' }) })],
    ['algorithm', `${encoded({ alg: 'none' })}.${body}.`],
    ['algorithm', `${encoded({ alg: 'none' })}.${body}.${signature}`],
    ['algorithm', `${encoded({ alg: 'None', kid: 'e' })}.${body}.${signature}`],
    ['algorithm', hmac(rsa.pem)],
    ['algorithm', hmac('')],
    ['algorithm', tokenOf(claims, rsa, { alg: 'RS512', kid: 'r' })],
    ['malformed', tokenOf(claims, ec, { kid: 'e', crit: ['exp'] })],
    ['malformed', tokenOf(claims, ec, { kid: 7 })],
    ['malformed', tokenOf({ ...claims, exp: 'never' }, ec, { kid: 'e' })],
    ['malformed', `${head}.${body}`],
    ['malformed', `${good}.${body}`],
    ['malformed', 'opaque'],
    ['malformed', '..'],
    ['malformed', `${good.slice(0, -8)}é`],
    ['malformed', good.slice(0, -8)],
    ['too_long', `${good}${'A'.repeat(8192)}`],
  ];
  for (const [reason, token] of cases) {
    const { claim, counted } = opened(named, rules);
    assert.equal(claim(good), 'u');
    assert.equal(claim(token), undefined, `${reason}: ${token.slice(0, 200)}`);
    assert.deepEqual(counted(), { found: 1, [reason]: 1 }, token.slice(0, 200));
  }
});

test('claims that are no object are none', () => {
  for (const claims of [[1], [{ sub: 'u' }]]) {
    const { claim, counted } = opened(named);
    assert.equal(claim(tokenOf(claims, ec)), undefined);
    assert.deepEqual(counted(), { malformed: 1 });
  }
});

test('what is no bearer token is no token, and is not counted', () => {
  const { tokens, counted } = opened(named);
  for (const header of [undefined, '', 'Bearer', 'Basic dTpw', tokenOf({ sub: 'u' }, ec)])
    assert.equal(tokens.claimOf(callWith(header), 'sub'), undefined);
  assert.deepEqual(counted(), {});
});

test('a token of 8 KiB is read and one more byte is not', () => {
  const { claim, counted } = opened(named);
  let token = '';
  for (let filled = 6025; token.length < 8190; filled++) token = tokenOf({ sub: 'u', x: 'x'.repeat(filled) }, ec);
  assert.ok(token.length <= 8192);
  assert.equal(claim(token), 'u');
  const longer = tokenOf({ sub: 'u', x: 'x'.repeat(6100) }, ec);
  assert.ok(longer.length > 8192);
  assert.equal(claim(longer), undefined);
  assert.deepEqual(counted(), { found: 1, too_long: 1 });
});

test('clocks may be apart by the tolerance, and no more', () => {
  const { claim, counted } = opened(named, { clockToleranceS: 30 });
  assert.equal(claim(tokenOf({ sub: 'a', exp: nowS - 29 }, ec)), 'a');
  assert.equal(claim(tokenOf({ sub: 'b', nbf: nowS + 30 }, ec)), 'b');
  assert.equal(claim(tokenOf({ sub: 'c', exp: nowS - 30 }, ec)), undefined);
  assert.equal(claim(tokenOf({ sub: 'd', nbf: nowS + 31 }, ec)), undefined);
  assert.deepEqual(counted(), { found: 2, expired: 1, not_yet_valid: 1 });
});

test('a token that is remembered ends when it expires, and one that was refused is looked at again after five seconds', () => {
  const { clock, claim, counted } = opened(named, { clockToleranceS: 10 });
  const token = tokenOf({ sub: 'u', exp: nowS + 60 }, ec);
  assert.equal(claim(token), 'u');
  clock.pass(69_999);
  assert.equal(claim(token), 'u');
  clock.pass(1);
  assert.equal(claim(token), undefined);
  const early = tokenOf({ sub: 'v', nbf: nowS + 83 }, ec);
  assert.equal(claim(early), undefined);
  clock.pass(4000);
  assert.equal(claim(early), undefined, 'it would be right by now, and is not looked at yet');
  clock.pass(1001);
  assert.equal(claim(early), 'v');
  assert.deepEqual(counted(), { found: 3, expired: 1, not_yet_valid: 2 });
});

test('a clock that is set back keeps no token refused for longer', () => {
  const { clock, claim } = opened(named);
  clock.set(3_600_000);
  const token = tokenOf({ sub: 'u', exp: nowS + 60 }, ec);
  assert.equal(claim(token), undefined, 'it has expired by a clock that is an hour ahead');
  clock.set(-3_600_000);
  clock.pass(5001);
  assert.equal(claim(token), 'u');
});

test('a token is verified once, good or bad, as long as it is among those kept', () => {
  let checks = 0;
  const clock = clockAt(nowS * 1000);
  const tokens = new Tokens(clock, (rules) => {
    const check = tokenCheck(rules);
    return (token, epochMs) => {
      checks++;
      return check(token, epochMs);
    };
  });
  tokens.follow({ keys: tokenKeysIn(named, both), issuer: '', audience: '', clockToleranceS: 0, keptMax: 2 });
  const ask = (...asked: readonly string[]) => {
    checks = 0;
    for (const token of asked) tokens.claimOf(bearer(token), 'sub');
    return checks;
  };
  const [good, other, third] = ['a', 'b', 'c'].map((sub) => tokenOf({ sub }, ec)) as [string, string, string];
  const bad = Array.from({ length: 3 }, (_, i) => tokenOf({ sub: `${i}` }, stranger));
  assert.equal(ask(good, good, other, good, other), 2);
  assert.equal(ask(bad[0]!, bad[0]!, bad[1]!, bad[0]!), 2);
  assert.equal(ask(...bad, ...bad), 4, 'beyond what is kept the one unused for longest goes');
  assert.equal(ask(good, other), 0, 'bad ones push no good one out');
  assert.equal(ask(third, other, good), 2);
  clock.pass(5001);
  assert.equal(ask(good), 0, 'one without end stays');
  assert.equal(ask(bad[2]!), 1);
  const ending = tokenOf({ sub: 'd', exp: clock.epochMs() / 1000 + 0.001 }, ec);
  assert.equal(ask(ending, ending), 2, 'one that ends at once is not kept');
  tokens.follow(undefined);
  assert.equal(ask(good), 0);
  assert.equal(tokens.claimOf(bearer(good), 'sub'), undefined);
});

test('other rules forget what was believed by those before', () => {
  const { claim, tokens } = opened(named);
  const token = tokenOf({ sub: 'u' }, ec, { kid: 'e' });
  assert.equal(claim(token), 'u');
  const keys = tokenKeysIn(jwksOf({ e: stranger }), both);
  tokens.follow({ keys, issuer: '', audience: '', clockToleranceS: 0, keptMax: 100 });
  assert.equal(claim(token), undefined);
});

test('a claim is found by its very name, then by the parts of a path; texts are kept, numbers become texts', () => {
  const { claim, counted } = opened(named);
  const claims = {
    sub: ' Ä b ',
    n: 42,
    half: 0.5,
    yes: true,
    big: 1e16,
    none: null,
    list: ['a'],
    user: { id: 'nested', deep: { er: 7 } },
    'user.id': 'exact',
    'https://example.com/tenant': 'acme',
  };
  const token = tokenOf(claims, ec);
  const expected: Readonly<Record<string, string | undefined>> = {
    sub: ' Ä b ',
    n: '42',
    half: '0.5',
    yes: 'true',
    big: undefined,
    none: undefined,
    list: undefined,
    'list.0': undefined,
    'list.length': undefined,
    user: undefined,
    'user.id': 'exact',
    'user.deep.er': '7',
    'user.deep.er.x': undefined,
    'user.': undefined,
    'https://example.com/tenant': 'acme',
    toString: undefined,
    __proto__: undefined,
    'constructor.name': undefined,
  };
  for (const [name, text] of Object.entries(expected)) assert.equal(claim(token, name), text, name);
  assert.equal(claim(token, '__proto__'), undefined);
  assert.ok(counted().no_claim! > 0);
});

test('a claim is a key and an attribute like any other: the first that is there, at most 256 bytes', () => {
  const { tokens } = opened(named);
  const key: CallPlace[] = [
    { source: 'jwt', name: 'sub' },
    { source: 'header', name: 'authorization' },
  ];
  const of = (sub: unknown) => keyOf(key.slice(0, 1), bearer(tokenOf({ sub }, ec)), tokens.claimOf);
  assert.equal(of('日'.repeat(85)), '日'.repeat(85));
  assert.equal(of('日'.repeat(86)), undefined);
  assert.equal(of(''), undefined);
  assert.equal(keyOf(key, callWith('Basic x'), tokens.claimOf), 'Basic x');
  assert.equal(keyOf(key.slice(0, 1), bearer(tokenOf({ sub: 'u' }, ec))), undefined);
  const targeting = [
    {
      conditions: [{ place: { source: 'jwt' as const, name: 'plan' }, is: 'in' as const, values: ['pro'], bound: 0 }],
      variants: ['old', 'new'],
    },
  ];
  const split = splitOf('m', experimentOf({ key: key.slice(0, 1), targeting }));
  const reasonOf = (claims: object) => decide(split, bearer(tokenOf(claims, ec)), tokens.claimOf).reason;
  assert.equal(reasonOf({ sub: 'u', plan: 'pro' }), 'weight');
  assert.equal(reasonOf({ sub: 'u', plan: 'free' }), 'targeting');
  assert.equal(reasonOf({ plan: 'pro' }), 'no_key');
});

test('a file of keys is public keys that fit, and nothing else', () => {
  const refusal = (text: string, allowed = both) => {
    try {
      return tokenKeysIn(text, allowed).map(({ kid, algorithms }) => `${kid}:${algorithms}`);
    } catch (error) {
      return (error as Error).message;
    }
  };
  const others = [
    { kty: 'OKP', crv: 'Ed25519', x: 'AA' },
    { kty: 'EC', crv: 'secp256k1' },
    { kty: 'RSA', use: 'enc' },
  ];
  assert.deepEqual(refusal(jwksOf({ e: ec, r: rsa }, others)), ['e:ES256', 'r:RS256']);
  assert.deepEqual(refusal(rsa.pem, ['PS256', 'RS256']), [':RS256,PS256']);
  assert.equal(refusal(rsa.pem, ['ES256']), 'expected a public key for ES256, got none');
  assert.equal(refusal('{"keys": []}'), 'expected a public key for RS256, ES256, got none');
  assert.match(String(refusal('{"keys": [')), /^expected a JWKS, .*, got text that is not JSON$/);
  assert.match(String(refusal('{"keys": [{"kid": 1}]}')), /got something else at keys\.0\./);
  assert.match(String(refusal('')), /^expected a JWKS, or 1 to 4 PEM blocks PUBLIC KEY, got 0 blocks$/);
  const secret = ec.privateKey.export({ type: 'pkcs8', format: 'pem' });
  assert.match(String(refusal(`${ec.pem}${secret}`)), /got -----BEGIN PRIVATE KEY-----$/);
  assert.equal(
    refusal(JSON.stringify({ keys: [ec.privateKey.export({ format: 'jwk' })] })),
    'keys.0: expected a public key, got a secret one',
  );
  assert.equal(
    refusal('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
    'keys.0: expected a public key, got a secret one',
  );
  assert.equal(
    refusal('{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}'),
    'keys.0: expected a public key, got one that cannot be read',
  );
  assert.equal(refusal(rsaIssuer(1024).pem), 'block 1: expected an RSA key of at least 2048 bits, got 1024');
  const same = Array.from({ length: 5 }, () => ({ ...ec.publicKey.export({ format: 'jwk' }), kid: 'e' }));
  assert.equal(refusal(JSON.stringify({ keys: same })), "expected at most 4 keys of kid 'e', got 5");
});

test('claims in routes and quotas ask for keys, and the complaint has the path', () => {
  const complaints = (text: string) =>
    resolveConfig({ file: { name: 'sluice.yaml', text } }).problems.map(({ where, message }) => `${where}: ${message}`);
  const text = `
routes:
  digits:
    key: [header:x-user, 'jwt:sub']
    default: a
    variants: { a: { version: "1", weight: 1 }, b: { version: "2", weight: 1 } }
    targeting: [{ when: [header:x exists, 'jwt:https://example.com/plan in [pro, team]'] }]
quotas: { key: ['jwt:org.id'] }
`;
  const lacking = (claim: string) =>
    `expected auth.jwt.keys to name a file of public keys, got jwt:${claim} without one`;
  assert.deepEqual(complaints(text), [
    `sluice.yaml:2: routes: digits.key.1: ${lacking('sub')}`,
    `sluice.yaml:2: routes: digits.targeting.0.when.1: ${lacking('https://example.com/plan')}`,
    `sluice.yaml:8: quotas.key: 0: ${lacking('org.id')}`,
  ]);
  assert.deepEqual(complaints(`${text}\nauth: { jwt: { keys: jwks.json } }\n`), []);
  assert.match(
    complaints('auth: { jwt: { algorithms: [HS256] } }')[0]!,
    /expected a list of RS256, .*, got \["HS256"\]$/,
  );
  assert.match(complaints('auth: { jwt: { algorithms: [none] } }')[0]!, /expected a list of RS256/);
});
