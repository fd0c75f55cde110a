/**
 * The special functions against values computed with 40 digits.
 *
 * Reference: `python3 -c "from mpmath import *; mp.dps = 40; print(loggamma(mpf('0.25')))"`, likewise
 * `gammainc(a, x, inf, regularized=True)`, `erfc(z / sqrt(2)) / 2` and `betainc(a, b, 0, x, regularized=True)`; Student and the
 * quantiles by `scipy.stats.{t,norm,beta,binom}`, scipy 1.17.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  betaI,
  betaQuantile,
  binomialTail,
  chiSquareTail,
  gammaQ,
  lnGamma,
  normalQuantile,
  normalTail,
  studentQuantile,
  studentTwoSided,
} from '../src/monitor/special.js';

function near(got: number, expected: number, relative: number, what: string): void {
  const allowed = relative * Math.abs(expected);
  assert.ok(Math.abs(got - expected) <= allowed, `${what}: expected ${expected} ± ${allowed}, got ${got}`);
}

test('ln Γ is right to 14 digits, also beside its zeros and up to ten million', () => {
  const expected: readonly (readonly [number, number])[] = [
    [0.001, 6.907178885383853],
    [0.25, 1.2880225246980774],
    [0.5, 0.5723649429247001],
    [0.9, 0.06637623973474295],
    [1.25, -0.09827183642181316],
    [1.5, -0.12078223763524522],
    [2.25, 0.1248717148923966],
    [2.7, 0.4348205536551047],
    [3.5, 1.2009736023470743],
    [7.3, 7.147892523022248],
    [14.9, 24.924132002217277],
    [15, 25.19122118273868],
    [15.5, 26.536914491115613],
    [100, 359.1342053695754],
    [12345.6, 103959.18506616846],
    [1e6, 12815504.569147611],
    [1e7, 151180949.3694739],
  ];
  for (const [x, value] of expected) near(lnGamma(x), value, 1e-14, `lnGamma(${x})`);
  // The argument itself is rounded, which so near to a zero costs four digits of the value.
  near(lnGamma(1.0001), -5.771334222047127e-5, 1e-11, 'lnGamma(1.0001)');
  near(lnGamma(1.9999), -4.227520877215346e-5, 1e-11, 'lnGamma(1.9999)');
  assert.equal(lnGamma(1), 0);
  assert.equal(lnGamma(2), 0);
});

test('the incomplete gamma function keeps its digits in the tail', () => {
  const expected: readonly (readonly [number, number, number])[] = [
    [0.5, 0.1, 0.654720846018577],
    [0.5, 2, 0.04550026389635842],
    [0.5, 200, 5.5072482372124675e-89],
    [1, 3, 0.049787068367863944],
    [5, 2, 0.9473469826562888],
    [5, 30, 3.6243009520614882e-9],
    [50, 60, 0.08440668109369183],
    [15.5, 3, 0.9999997093869826],
    [500, 600, 1.2255942330622905e-5],
  ];
  for (const [a, x, value] of expected) near(gammaQ(a, x), value, 1e-12, `gammaQ(${a}, ${x})`);
  assert.equal(gammaQ(3, 0), 1);
  assert.equal(gammaQ(3, Infinity), 0);
});

test('the tail of the normal distribution goes down to 1e-300', () => {
  const expected: readonly (readonly [number, number])[] = [
    [-3, 0.9986501019683699],
    [-0.5, 0.6914624612740131],
    [0, 0.5],
    [0.3, 0.3820885778110474],
    [1, 0.15865525393145705],
    [5, 2.866515718791939e-7],
    [10, 7.619853024160525e-24],
    [20, 2.7536241186062337e-89],
    [37, 5.725571222524577e-300],
  ];
  for (const [z, value] of expected) near(normalTail(z), value, 1e-11, `normalTail(${z})`);
});

test('χ² tails agree with scipy', () => {
  near(chiSquareTail(1.44886364, 2), 0.4845998306806498, 1e-12, 'df 2');
  near(chiSquareTail(60, 3), 5.878230727906921e-13, 1e-12, 'df 3');
  near(chiSquareTail(200, 5), 2.8406228986415534e-41, 1e-12, 'df 5');
});

test('the incomplete beta function agrees on both sides of its symmetry', () => {
  const expected: readonly (readonly [number, number, number, number])[] = [
    [2, 3, 0.4, 0.5248],
    [0.5, 0.5, 0.1, 0.20483276469913345],
    [50, 60, 0.4, 0.12470685834310036],
    [1000, 10, 0.95, 3.576479879739877e-13],
    [1001, 9001, 0.1, 0.49290865629219366],
    [0.5, 20, 0.3, 0.9998262021603302],
    [3, 48, 0.01, 0.013817270830600395],
  ];
  for (const [a, b, x, value] of expected) near(betaI(a, b, x), value, 1e-10, `betaI(${a}, ${b}, ${x})`);
});

test('two-sided p of Student agrees with scipy from t = 0.001 to 12', () => {
  const expected: readonly (readonly [number, number, number])[] = [
    [0.001, 3, 0.9992648949694609],
    [1, 1, 0.5],
    [2.5, 10, 0.03144684423660882],
    [8, 7.5, 6.260924562534145e-5],
    [12, 40.2, 7.250749350797535e-15],
    [3, 100000, 0.0027004608840647234],
  ];
  for (const [t, df, value] of expected) near(studentTwoSided(t, df), value, 1e-10, `t ${t}, df ${df}`);
});

test('quantiles undo their distributions', () => {
  const normal: readonly (readonly [number, number])[] = [
    [1e-6, -4.753424308822899],
    [0.1, -1.2815515655446004],
    [0.8, 0.8416212335729143],
    [0.95, 1.6448536269514722],
    [0.975, 1.959963984540054],
    [0.9995, 3.2905267314919255],
  ];
  for (const [p, value] of normal) near(normalQuantile(p), value, 1e-11, `normalQuantile(${p})`);
  near(studentQuantile(0.975, 3.7), 2.8675207071911895, 1e-11, 'df 3.7');
  near(studentQuantile(0.975, 120.4), 1.979863412582104, 1e-11, 'df 120.4');
  near(studentQuantile(0.95, 1), 6.313751514675037, 1e-11, 'df 1');
  near(betaQuantile(0.025, 13, 89), 0.07035018147341375, 1e-10, 'beta 0.025');
  near(betaQuantile(0.975, 13, 89), 0.1983450632635714, 1e-10, 'beta 0.975');
  near(betaQuantile(0.025, 1, 1001), 2.529219561584832e-5, 1e-10, 'beta 1, 1001');
});

test('the binomial tail counts from k on', () => {
  near(binomialTail(4, 50, 0.01), 0.0015961730907328713, 1e-11, '4 of 50');
  near(binomialTail(20, 1000, 0.01), 0.003288359787727457, 1e-11, '20 of 1000');
  near(binomialTail(50, 50, 0.01), 1e-100, 1e-11, '50 of 50');
  assert.equal(binomialTail(0, 50, 0.01), 1);
  assert.equal(binomialTail(51, 50, 0.01), 0);
});
