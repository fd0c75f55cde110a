/**
 * The special functions behind every test and interval: gamma, beta, normal, Student, χ².
 *
 * A tail is computed as a tail, never as 1 − cdf: otherwise 1e-20 becomes 0. Formulas are those of the Digital Library of
 * Mathematical Functions (dlmf.nist.gov); its numbers stand beside them.
 *
 * Must not know what is tested.
 */
import { GatewayError } from '../core/errors.js';

/** ζ(k) − 1 for k = 2, 3, …, enough for 17 digits at |z| ≤ ½. */
const zetaMinusOne = [
  0.6449340668482264, 0.2020569031595943, 0.08232323371113819, 0.03692775514336993, 0.01734306198444914,
  0.008349277381922827, 0.00407735619794434, 0.0020083928260822143, 0.0009945751278180853, 0.0004941886041194645,
  0.0002460865533080483, 0.00012271334757848915, 6.124813505870483e-5, 3.058823630702049e-5, 1.528225940865187e-5,
  7.637197637899763e-6, 3.81729326499984e-6, 1.908212716553939e-6, 9.539620338727962e-7, 4.769329867878064e-7,
  2.38450502727733e-7, 1.1921992596531106e-7, 5.960818905125948e-8, 2.980350351465228e-8, 1.4901554828365043e-8,
  7.45071178983543e-9, 3.725334024788457e-9, 1.862659723513049e-9, 9.313274324196682e-10,
];
const oneMinusEuler = 0.42278433509846713;

/** B₂ₖ / (2k(2k − 1)): Stirling's series, DLMF 5.11.1. From x = 15 on the first term left out is below 1e-16. */
const stirling = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156];
const halfLnTwoPi = 0.9189385332046728;

/** ln Γ(x), x > 0, with a relative error of about 1e-15, also beside its zeros at 1 and 2. */
export function lnGamma(x: number): number {
  if (x >= 15) return lnGammaOfLarge(x);
  if (x < 0.5) return lnGamma(x + 1) - Math.log(x);
  if (x < 1.5) return lnGammaNearTwo(x - 1) - Math.log1p(x - 1);
  let product = 1;
  let rest = x;
  while (rest > 2.5) {
    rest -= 1;
    product *= rest;
  }
  return Math.log(product) + lnGammaNearTwo(rest - 2);
}

function lnGammaOfLarge(x: number): number {
  const inverseSquare = 1 / (x * x);
  let series = 0;
  for (let k = stirling.length - 1; k >= 0; k--) series = series * inverseSquare + stirling[k]!;
  return (x - 0.5) * Math.log(x) - x + halfLnTwoPi + series / x;
}

/** ln Γ(2 + z) for |z| ≤ ½: DLMF 5.7.3. */
function lnGammaNearTwo(z: number): number {
  let series = 0;
  for (let k = zetaMinusOne.length + 1; k >= 2; k--) series = series * -z + zetaMinusOne[k - 2]! / k;
  return z * (oneMinusEuler + z * series);
}

export function lnBeta(a: number, b: number): number {
  return lnGamma(a) + lnGamma(b) - lnGamma(a + b);
}

/** Terms of a series or a continued fraction; those here need about √a of them. */
const termsMax = 100_000;
const epsilon = 1e-16;
/** Stands for a zero denominator in Lentz's method. */
const tiny = 1e-300;

/** Regularised upper incomplete gamma Q(a, x): series for x < a + 1 (DLMF 8.7.1), else continued fraction (8.9.2). */
export function gammaQ(a: number, x: number): number {
  if (x <= 0) return 1;
  if (x === Infinity) return 0;
  const front = Math.exp(a * Math.log(x) - x - lnGamma(a));
  return x < a + 1 ? 1 - (front / a) * gammaSeries(a, x) : front * gammaFraction(a, x);
}

function gammaSeries(a: number, x: number): number {
  let term = 1;
  let sum = 1;
  for (let n = 1; n < termsMax; n++) {
    term *= x / (a + n);
    sum += term;
    if (term < sum * epsilon) return sum;
  }
  throw unconverged('gamma');
}

function gammaFraction(a: number, x: number): number {
  let b = x + 1 - a;
  let c = 1 / tiny;
  let d = 1 / b;
  let value = d;
  for (let n = 1; n < termsMax; n++) {
    const factor = -n * (n - a);
    b += 2;
    d = 1 / away(factor * d + b);
    c = away(b + factor / c);
    value *= d * c;
    if (Math.abs(d * c - 1) < 4 * epsilon) return value;
  }
  throw unconverged('gamma');
}

function away(value: number): number {
  return Math.abs(value) < tiny ? tiny : value;
}

function unconverged(name: string): GatewayError {
  return new GatewayError('INTERNAL', `incomplete ${name} function does not converge`);
}

/**
 * Regularised incomplete beta I_x(a, b), by continued fraction (DLMF 8.17.22).
 * @param y 1 − x, for callers who know it better than the subtraction does
 */
export function betaI(a: number, b: number, x: number, y = 1 - x): number {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  const front = Math.exp(a * Math.log(x) + b * Math.log(y) - lnBeta(a, b));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(a, b, x)) / a : 1 - (front * betaFraction(b, a, y)) / b;
}

function betaFraction(a: number, b: number, x: number): number {
  let c = 1;
  let d = 1 / away(1 - ((a + b) * x) / (a + 1));
  let value = d;
  for (let m = 1; m < termsMax; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    value *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    value *= d * c;
    if (Math.abs(d * c - 1) < 4 * epsilon) return value;
  }
  throw unconverged('beta');
}

/** Φ̄(z) = ½·erfc(z/√2), erfc(x) = Q(½, x²). */
export function normalTail(z: number): number {
  return z < 0 ? 1 - normalTail(-z) : 0.5 * gammaQ(0.5, (z * z) / 2);
}

/** P(χ² with `df` degrees of freedom ≥ x). */
export function chiSquareTail(x: number, df: number): number {
  return gammaQ(df / 2, x / 2);
}

/** P(|T| ≥ |t|), T of Student with `df` degrees of freedom. */
export function studentTwoSided(t: number, df: number): number {
  const square = t * t;
  if (square === Infinity) return 0;
  return betaI(df / 2, 0.5, df / (df + square), square / (df + square));
}

/** z with Φ(z) = p. */
export function normalQuantile(p: number): number {
  if (p < 0.5) return -upperPoint(p, normalTail);
  return p === 0.5 ? 0 : upperPoint(1 - p, normalTail);
}

/** t with P(T ≤ t) = p, for p ≥ ½. */
export function studentQuantile(p: number, df: number): number {
  return upperPoint(1 - p, (t) => studentTwoSided(t, df) / 2);
}

/** The x > 0 at which a falling tail passes `p`. */
function upperPoint(p: number, tail: (x: number) => number): number {
  let high = 1;
  while (high < 1e300 && tail(high) > p) high *= 2;
  return bisect(0, high, (x) => tail(x) > p);
}

/** x with I_x(a, b) = p. */
export function betaQuantile(p: number, a: number, b: number): number {
  return bisect(0, 1, (x) => betaI(a, b, x) < p);
}

/** Where `isBelow` turns from true to false, to the last digit. */
function bisect(low: number, high: number, isBelow: (x: number) => boolean): number {
  let [from, to] = [low, high];
  for (let i = 0; i < 200; i++) {
    const middle = (from + to) / 2;
    if (middle <= from || middle >= to) break;
    if (isBelow(middle)) from = middle;
    else to = middle;
  }
  return (from + to) / 2;
}

/** P(Bin(n, p) ≥ k). */
export function binomialTail(k: number, n: number, p: number): number {
  if (k <= 0) return 1;
  return k > n ? 0 : betaI(k, n - k + 1, p);
}
