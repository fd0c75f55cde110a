"""Makes statistics.json: what every function of the statistics module must answer, computed apart from it.

Needs Debian's python3-scipy. Inputs are random with a fixed seed, with edge cases beside them. Values come from scipy where
it has the function, from a plain reading of the specification where it has not (exact sums by math.fsum).

    python3 test/reference/statistics.py && npx biome format --write test/reference/statistics.json

A case is {"args": [...], "expected": ...}. JSON has neither infinity nor NaN: they stand as texts.
"""
import decimal
import json
import math
import os
import struct

import numpy as np
from scipy import special, stats
from scipy.spatial import distance

rng = np.random.default_rng(20261121)
cases = {}


def case(name, args, expected):
    cases.setdefault(name, []).append({"args": args, "expected": expected})


# --- histograms -----------------------------------------------------------------------------------------------------

def histograms():
    edge = [
        ([40, 35, 25], [15, 20, 15]),
        ([10, 20, 30], [10, 20, 30]),
        ([1, 2, 3], [100, 200, 300]),
        ([5, 0, 5], [0, 10, 0]),
        ([5, 0, 0, 5], [3, 0, 0, 9]),
        ([7], [3]),
        ([7, 0], [3, 0]),
        ([0, 9], [8, 0]),
        ([1, 0], [1, 1]),
        ([10**9, 10**9 + 1], [10**9 + 1, 10**9]),
        ([100000, 250000, 90000], [100003, 249990, 90001]),
        ([1] * 50, [1] * 25 + [2] * 25),
        ([0.5, 1.25, 3.75], [2.5, 0.125, 1]),
    ]
    for _ in range(20):
        bins = int(rng.integers(2, 14))
        shares = rng.dirichlet(np.ones(bins))
        others = shares if rng.random() < 0.4 else rng.dirichlet(np.ones(bins) * 2)
        reference = rng.multinomial(int(rng.integers(20, 20000)), shares)
        current = rng.multinomial(int(rng.integers(20, 3000)), others)
        edge.append((reference.tolist(), current.tolist()))
    return edge


def psi(a, b):
    n, m = math.fsum(a), math.fsum(b)
    terms = []
    for x, y in zip(a, b):
        if x == 0 and y == 0:
            continue
        p, q = x / n or 1e-4, y / m or 1e-4
        terms.append((q - p) * math.log(q / p))
    return math.fsum(terms)


def kl(a, b):
    n, m = math.fsum(a), math.fsum(b)
    pairs = [(x / n or 1e-4, y / m or 1e-4) for x, y in zip(a, b) if x or y]
    return math.fsum(p * math.log(p / q) for p, q in pairs)


def jeffreys(a, b):
    k = len(a)
    p = (np.array(a) + 0.5) / (math.fsum(a) + k / 2)
    q = (np.array(b) + 0.5) / (math.fsum(b) + k / 2)
    return math.fsum(special.rel_entr(p, q)) + math.fsum(special.rel_entr(q, p))


def js_nats(a, b):
    """With 50 digits: close to 0 its terms cancel."""
    decimal.getcontext().prec = 50
    x, y = ([decimal.Decimal(count) for count in side] for side in (a, b))
    total = decimal.Decimal(0)
    for p, q in zip((one / sum(x) for one in x), (one / sum(y) for one in y)):
        total += sum((s * (2 * s / (p + q)).ln() for s in (p, q) if s > 0), decimal.Decimal(0)) / 2
    return max(0.0, float(total))


def table(a, b):
    columns = [(x, y) for x, y in zip(a, b) if x or y]
    return np.array(columns, dtype=float).T


def contingency(a, b, **options):
    result = stats.chi2_contingency(table(a, b), **options)
    return {"statistic": result[0], "df": int(result[2]), "p": result[1]}


def fit(a, b):
    n, m = math.fsum(a), math.fsum(b)
    if any(x == 0 and y > 0 for x, y in zip(a, b)):
        return {"statistic": "Infinity", "df": len(a) - 1, "p": 1.0 if len(a) == 1 else 0.0}
    statistic = math.fsum((y - x * m / n) ** 2 / (x * m / n) for x, y in zip(a, b) if x)
    df = len(a) - 1
    return {"statistic": statistic, "df": df, "p": float(stats.chi2.sf(statistic, df)) if df else 1.0}


none = {"statistic": None, "df": None, "p": None, "insufficientData": True}
distances = ["psi", "psiNullMean", "psiCorrected", "psiJeffreys", "psiPValue", "psiCritical95", "klNats",
             "jensenShannon", "jensenShannonNats", "hellinger", "lInfinity", "totalVariation", "binnedKs"]
count_tests = ["chiSquareHomogeneity", "chiSquareYates", "gTest", "chiSquareFit"]

for a, b in histograms():
    n, m, k = math.fsum(a), math.fsum(b), len(a)
    p, q = np.array(a) / n, np.array(b) / m
    f = 1 / n + 1 / m
    case("psi", [a, b], psi(a, b))
    case("psiNullMean", [a, b], (k - 1) * f)
    case("psiCorrected", [a, b], psi(a, b) - (k - 1) * f)
    case("psiJeffreys", [a, b], jeffreys(a, b))
    case("psiPValue", [a, b], float(stats.chi2.sf(psi(a, b) / f, k - 1)) if k > 1 else 1.0)
    case("psiCritical95", [a, b], float(stats.chi2.isf(0.05, k - 1)) * f if k > 1 else 0.0)
    case("klNats", [a, b], kl(a, b))
    nats = js_nats(a, b)
    case("jensenShannonNats", [a, b], nats)
    # scipy's distance loses half of its digits beside 0.
    bits = float(distance.jensenshannon(p, q, 2)) if nats > 1e-3 else math.sqrt(nats / math.log(2))
    case("jensenShannon", [a, b], bits)
    case("hellinger", [a, b], float(distance.euclidean(np.sqrt(p), np.sqrt(q))) / math.sqrt(2))
    case("lInfinity", [a, b], float(distance.chebyshev(p, q)))
    case("totalVariation", [a, b], float(distance.cityblock(p, q)) / 2)
    if all(isinstance(x, int) for x in a) and n + m < 10**6:
        bins = range(k)
        case("binnedKs", [a, b], float(stats.ks_2samp(np.repeat(bins, a), np.repeat(bins, b), mode="asymp").statistic))
    case("chiSquareHomogeneity", [a, b], contingency(a, b, correction=False))
    case("chiSquareYates", [a, b], contingency(a, b, correction=True))
    case("gTest", [a, b], contingency(a, b, correction=False, lambda_="log-likelihood"))
    case("chiSquareFit", [a, b], fit(a, b))
for a, b in [([], []), ([0, 0], [1, 2]), ([3, 4], [0, 0])]:
    for name in distances:
        case(name, [a, b], None)
    for name in count_tests:
        case(name, [a, b], none)

# --- samples --------------------------------------------------------------------------------------------------------

def samples():
    edge = [
        ([1, 2, 3], [1, 2, 3]),
        ([1], [1]),
        ([1], [2]),
        ([0, 0, 0], [0, 0, 0, 0]),
        ([1, 2, 3], [10, 11, 12]),
        ([1, 1, 2, 2], [2, 2, 3]),
        ([-1e9, 0, 1e9], [-1e9, 1, 1e9]),
        ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]),
        ([5, 1, 4, 2, 3], [3.5]),
    ]
    for _ in range(20):
        n, m = (int(size) for size in rng.integers(2, 60, 2))
        digits = int(rng.integers(0, 4))
        x = rng.normal(0, 1, n).round(digits)
        y = rng.normal(float(rng.choice([0, 0.3, 2])), float(rng.choice([1, 1.5])), m).round(digits)
        edge.append(((x + 0.0).tolist(), (y + 0.0).tolist()))
    return edge


def ks(x, y):
    statistic = float(stats.ks_2samp(x, y, mode="asymp").statistic)
    en = len(x) * len(y) / (len(x) + len(y))
    root = math.sqrt(en)
    p = float(special.kolmogorov(root * statistic))
    stephens = float(special.kolmogorov((root + 0.12 + 0.11 / root) * statistic))
    return {"statistic": statistic, "df": None, "p": p, "effectiveN": en, "pKolmogorov": p, "pStephens": stephens}


def add_samples(x, y, shown_x, shown_y):
    case("ksTwoSample", [shown_x, shown_y], ks(x, y))
    case("wasserstein", [shown_x, shown_y], float(stats.wasserstein_distance(x, y)))
    normed = float(stats.wasserstein_distance(x, y)) / max(float(np.std(x)), 0.001)
    case("wassersteinNormed", [shown_x, shown_y], normed)


for x, y in samples():
    add_samples(x, y, x, y)
add_samples([1, 2, 4], [2, 3], [1, None, 2, "NaN", 4], ["Infinity", 2, 3, "-Infinity"])
long_x = (rng.normal(0, 1, 400) * 8).round() / 8 + 0.0
long_y = (rng.normal(0.7, 1, 300) * 8).round() / 8 + 0.0
add_samples(long_x.tolist(), long_y.tolist(), long_x.tolist(), long_y.tolist())
for x, y in [([], [1]), ([1], []), (["NaN", None], [1, 2])]:
    case("ksTwoSample", [x, y], {**none, "effectiveN": None, "pKolmogorov": None, "pStephens": None})
    case("wasserstein", [x, y], None)
    case("wassersteinNormed", [x, y], None)

# --- several tests at once ------------------------------------------------------------------------------------------

def adjusted(ps):
    m = len(ps)
    order = sorted(range(m), key=lambda i: ps[i])
    result = [0.0] * m
    for rank, index in enumerate(order, 1):
        result[index] = min(1.0, min(m * ps[order[j - 1]] / j for j in range(rank, m + 1)))
    return result


for ps in [[], [0.03], [1.0], [0.0, 1.0], [0.01, 0.04, 0.03, 0.005, 0.5], [0.02] * 4, [1e-300, 1e-20, 0.9]]:
    case("benjaminiHochberg", [ps], adjusted(ps))
for _ in range(18):
    ps = (rng.random(int(rng.integers(2, 25))) ** 3).round(6).tolist()
    case("benjaminiHochberg", [ps], adjusted(ps))

# --- two arms -------------------------------------------------------------------------------------------------------

def wilson(x, n, alpha):
    if n == 0:
        return {"low": None, "high": None, "insufficientData": True}
    interval = stats.binomtest(x, n).proportion_ci(1 - alpha, "wilson")
    return {"low": float(interval.low), "high": float(interval.high)}


def se(xa, na, xb, nb):
    pa, pb = xa / na, xb / nb
    return math.sqrt(pa * (1 - pa) / na + pb * (1 - pb) / nb)


def two_proportions(xa, na, xb, nb, alpha):
    d = xb / nb - xa / na
    pooled = (xa + xb) / (na + nb)
    error = math.sqrt(pooled * (1 - pooled) * (1 / na + 1 / nb))
    z = d / error if error else 0.0
    half = float(stats.norm.isf(alpha / 2)) * se(xa, na, xb, nb)
    p = min(1.0, 2 * float(stats.norm.sf(abs(z))))
    return {"statistic": z, "df": None, "p": p, "zPooled": z, "difference": d, "low": d - half, "high": d + half}


def newcombe(xa, na, xb, nb, alpha):
    d = xb / nb - xa / na
    a, b = wilson(xa, na, alpha), wilson(xb, nb, alpha)
    low = d - math.sqrt((xb / nb - b["low"]) ** 2 + (a["high"] - xa / na) ** 2)
    high = d + math.sqrt((b["high"] - xb / nb) ** 2 + (xa / na - a["low"]) ** 2)
    return {"difference": d, "low": low, "high": high}


def non_inferiority(xa, na, xb, nb, margin, alpha):
    d, error = xb / nb - xa / na, se(xa, na, xb, nb)
    if error == 0:
        numbers = dict.fromkeys(["statistic", "p", "pOneSided", "lowerOneSided", "nonInferior"])
        return {**numbers, "df": None, "difference": d}
    z = (d + margin) / error
    p = float(stats.norm.sf(z))
    lower = d - float(stats.norm.isf(alpha)) * error
    return {"statistic": z, "df": None, "p": p, "difference": d, "pOneSided": p, "lowerOneSided": lower,
            "nonInferior": p < alpha}


counts = [(100, 1000, 130, 1010), (0, 10, 0, 20), (10, 10, 20, 20), (0, 20, 5, 20), (20, 20, 0, 20), (1, 1, 0, 1),
          (56, 70, 48, 80), (5000, 10000, 6000, 10000), (3, 100000, 9, 100000)]
while len(counts) < 24:
    na, nb = (int(n) for n in rng.integers(5, 5000, 2))
    share = float(rng.random())
    counts.append((int(rng.binomial(na, share)), na, int(rng.binomial(nb, min(1, share * 1.1))), nb))
for index, (xa, na, xb, nb) in enumerate(counts):
    alpha = [0.05, 0.01, 0.2][index % 3]
    case("twoProportions", [xa, na, xb, nb, alpha], two_proportions(xa, na, xb, nb, alpha))
    case("wilson", [xa, na, alpha], wilson(xa, na, alpha))
    case("newcombe", [xa, na, xb, nb, alpha], newcombe(xa, na, xb, nb, alpha))
    margin = [0.01, 0.02, 0.1][index // 3 % 3]
    case("nonInferiority", [xa, na, xb, nb, margin, alpha], non_inferiority(xa, na, xb, nb, margin, alpha))
case("twoProportions", [100, 1000, 130, 1010], two_proportions(100, 1000, 130, 1010, 0.05))
case("wilson", [3, 17], wilson(3, 17, 0.05))
case("newcombe", [56, 70, 48, 80], newcombe(56, 70, 48, 80, 0.05))
case("nonInferiority", [900, 1000, 905, 1000, 0.02], non_inferiority(900, 1000, 905, 1000, 0.02, 0.05))
bounds = {"low": None, "high": None, "insufficientData": True}
case("wilson", [0, 0], bounds)
case("newcombe", [0, 0, 1, 2], {**bounds, "difference": None})
case("twoProportions", [1, 2, 0, 0], {**none, **bounds, "zPooled": None, "difference": None})
case("nonInferiority", [0, 0, 1, 2, 0.01],
     {**none, "difference": None, "pOneSided": None, "lowerOneSided": None, "nonInferior": None})

for b, c in [(0, 0), (5, 15), (15, 5), (4, 4), (0, 1), (0, 60), (1000, 1100), (123, 456), (7, 8)]:
    p = 1.0 if b + c == 0 else float(stats.binomtest(min(b, c), b + c).pvalue)
    case("mcnemar", [b, c], {"statistic": min(b, c), "df": None, "p": p})
for _ in range(14):
    b, c = (int(n) for n in rng.integers(0, 300, 2))
    p = float(stats.binomtest(min(b, c), b + c).pvalue) if b + c else 1.0
    case("mcnemar", [b, c], {"statistic": min(b, c), "df": None, "p": p})


def moments(mean, variance, n):
    return {"mean": mean, "variance": variance, "n": n}


def welch(a, b, alpha):
    square = a["variance"] / a["n"] + b["variance"] / b["n"]
    d = b["mean"] - a["mean"]
    if square == 0 or min(a["n"], b["n"]) < 2:
        return {"statistic": None, "df": None, "p": None, "difference": d, "low": None, "high": None}
    t, p = stats.ttest_ind_from_stats(b["mean"], math.sqrt(b["variance"]), b["n"], a["mean"], math.sqrt(a["variance"]),
                                      a["n"], equal_var=False)
    parts = [(one["variance"] / one["n"]) ** 2 / (one["n"] - 1) for one in (a, b)]
    df = square ** 2 / sum(parts)
    half = float(stats.t.isf(alpha / 2, df)) * math.sqrt(square)
    return {"statistic": float(t), "df": df, "p": float(p), "difference": d, "low": d - half, "high": d + half}


def sequence(a, b, alpha, planned):
    d = b["mean"] - a["mean"]
    square = a["variance"] / a["n"] + b["variance"] / b["n"]
    if square == 0 or min(a["n"], b["n"]) < 2:
        return {"difference": d, "low": None, "high": None, "p": 1.0}
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / planned)
    n = a["n"] + b["n"]
    scale = n * rho ** 2 + 1
    half = math.sqrt(n * square) * math.sqrt(2 * scale * math.log(math.sqrt(scale) / alpha) / (n * rho) ** 2)
    log_e = rho ** 2 * (d ** 2 * n / square) / (2 * scale) - 0.5 * math.log(scale)
    return {"difference": d, "low": d - half, "high": d + half, "p": min(1.0, math.exp(-log_e))}


def msprt(a, b, tau2):
    d = b["mean"] - a["mean"]
    v = a["variance"] / a["n"] + b["variance"] / b["n"]
    if v == 0 or min(a["n"], b["n"]) < 2:
        return {"difference": d, "p": 1.0}
    return {"difference": d, "p": min(1.0, math.exp(-(0.5 * math.log(v / (v + tau2)) + tau2 * d * d / (2 * v * (v + tau2)))))}


pairs = [
    (moments(0.1, 0.09, 4000), moments(0.13, 0.1131, 4100)),
    (moments(4.2, 9, 55), moments(5, 4, 40)),
    (moments(1, 0, 9), moments(1, 0, 9)),
    (moments(1, 0, 9), moments(2, 0.5, 9)),
    (moments(1, 2, 1), moments(3, 1, 50)),
    (moments(0, 1, 2), moments(10, 1, 2)),
    (moments(0, 1, 500), moments(3, 1, 500)),
]
while len(pairs) < 24:
    pairs.append(tuple(moments(round(float(rng.normal(5, 0.3)), 4), round(float(rng.gamma(2, 1)), 4),
                               int(rng.integers(2, 3000))) for _ in range(2)))
for index, (a, b) in enumerate(pairs):
    alpha, planned = [0.05, 0.01, 0.1][index % 3], [5000, 300, 40000][index // 3 % 3]
    tau2 = [0.0004, 0.01, 1][index % 3]
    case("welch", [a, b, alpha], welch(a, b, alpha))
    case("confidenceSequence", [a, b, {"alpha": alpha, "plannedN": planned}], sequence(a, b, alpha, planned))
    case("msprt", [a, b, tau2], msprt(a, b, tau2))
a, b = pairs[0]
case("welch", [a, b], welch(a, b, 0.05))
case("confidenceSequence", [a, b], sequence(a, b, 0.05, 5000))
empty = moments(0, 0, 0)
case("welch", [empty, b], {**none, **bounds, "difference": None})
case("confidenceSequence", [a, empty], {"difference": None, "low": None, "high": None, "p": 1})
case("msprt", [a, empty, 0.01], {"difference": None, "p": 1})

# --- sample ratio ---------------------------------------------------------------------------------------------------

def log_rising(base, times):
    """ln of base·(base + 1)·…·(base + times − 1): the quotient of two gammas, without a gamma."""
    return math.fsum(np.log(base + np.arange(times)))


def srm(observed, weights, before=1.0):
    pairs = [(o, w) for o, w in zip(observed, weights) if w > 0]
    df = len(pairs) - 1
    if any(w == 0 and o > 0 for o, w in zip(observed, weights)):
        return {"statistic": None, "df": df, "p": 0, "logBayesFactor": "Infinity", "pSequential": 0}
    total, weight = sum(o for o, _ in pairs), math.fsum(w for _, w in pairs)
    if df == 0:
        return {"statistic": 0, "df": 0, "p": 1, "logBayesFactor": 0, "pSequential": before}
    o = [o for o, _ in pairs]
    e = [total * w / weight for _, w in pairs]
    statistic, p = stats.chisquare(o, e)
    rising = [log_rising(10000 * w / weight, n) - n * math.log(w / weight) for n, w in pairs]
    factor = math.fsum(rising) - log_rising(10000, total)
    return {"statistic": float(statistic), "df": df, "p": float(p), "logBayesFactor": factor,
            "pSequential": min(before, 1.0, math.exp(-factor))}


for observed, weights in [([5200, 4800], [50, 50]), ([3100, 3400, 3500], [1, 1, 1]), ([9000, 1000], [90, 10]),
                          ([5000], [100]), ([5000, 0], [100, 0]), ([5000, 1], [100, 0]), ([0, 3], [1, 1]),
                          ([100, 9], [99, 1]), ([500000, 501500], [0.5, 0.5]), ([60, 40], [0.5, 0.5])]:
    case("srm", [observed, weights], srm(observed, weights))
case("srm", [[9000, 1000], [90, 10], 0.0004], srm([9000, 1000], [90, 10], 0.0004))
for _ in range(14):
    k = int(rng.integers(2, 6))
    weights = rng.integers(1, 50, k).tolist()
    shares = np.array(weights) * rng.choice([1, 1.08], k)
    observed = rng.multinomial(int(rng.integers(50, 60000)), shares / shares.sum()).tolist()
    case("srm", [observed, weights], srm(observed, weights))
case("srm", [[0, 0], [1, 1]], {**none, "logBayesFactor": None, "pSequential": None})

# --- hashing and assignment -----------------------------------------------------------------------------------------

def murmur3(text, seed):
    payload = text.encode("utf-8")
    mask = 0xFFFFFFFF

    def rotated(x, by):
        return ((x << by) | (x >> (32 - by))) & mask

    h = seed
    full = len(payload) // 4 * 4
    for (block,) in struct.iter_unpack("<I", payload[:full]):
        h ^= rotated(block * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask
        h = (rotated(h, 13) * 5 + 0xE6546B64) & mask
    tail = int.from_bytes(payload[full:], "little")
    h ^= rotated(tail * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask
    h ^= len(payload)
    h = (h ^ (h >> 16)) * 0x85EBCA6B & mask
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & mask
    return h ^ (h >> 16)


def u(text):
    return (murmur3(text, 0) + 0.5) / 2 ** 32


def variant(salt, key, weights):
    scores = [(weight / -math.log(u(f"{salt}:{name}:{key}")), name) for name, weight in weights.items() if weight > 0]
    return min(scores, key=lambda one: (-one[0], one[1]))[1] if scores else None


alphabet = "abcXYZ019 -_é日😀"
texts = ["", "a", "ab", "abc", "abcd", "sluice", "key-é7", "日本語", "😀 key", "\u0000", "spring:old:key-é7"]
texts += ["".join(rng.choice(list(alphabet), int(rng.integers(1, 40)))) for _ in range(14)]
for text in texts:
    seed = int(rng.choice([0, 1, 86028157, 2 ** 31, 2 ** 32 - 1]))
    case("murmur3", [text, seed], murmur3(text, seed))
    case("murmur3", [text], murmur3(text, 0))
    case("unitInterval", [text], u(text))
splits = [{"old": 80, "new": 20}, {"a": 1, "b": 1, "c": 1}, {"only": 0.5}, {"off": 0, "on": 3}, {"off": 0}, {}]
for text in texts:
    for weights in splits:
        case("assignVariant", ["spring", text, weights], variant("spring", text, weights))

# --- outputs --------------------------------------------------------------------------------------------------------

def js_bits(p, q):
    m = (p + q) / 2
    nats = (math.fsum(special.rel_entr(p, m)) + math.fsum(special.rel_entr(q, m))) / 2
    return math.sqrt(max(0.0, nats) / math.log(2))


def mean(values):
    kept = [value for value in values if value is not None]
    return math.fsum(kept) / len(kept) if kept else None


def kappa(mine, theirs):
    n = len(mine)
    observed = sum(x == y for x, y in zip(mine, theirs)) / n
    chance = sum(mine.count(label) * theirs.count(label) for label in set(mine)) / n ** 2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def outputs(primary, shadow, probabilities=False, k=5, absolute=1e-6, relative=1e-4):
    p, q = np.atleast_2d(np.array(primary, float)), np.atleast_2d(np.array(shadow, float))
    width = p.shape[1]
    top = [[set(np.argsort(-row, kind="stable")[:min(k, width)]) for row in side] for side in (p, q)]
    cosines = [None if not (row.any() and other.any()) else 1 - float(distance.cosine(row, other)) for row, other in zip(p, q)]
    mine, theirs = p.argmax(1).tolist(), q.argmax(1).tolist()
    kls = [math.fsum(special.rel_entr(row, other)) for row, other in zip(p, q)]
    kl_mean = float(np.mean(kls)) if probabilities else None
    return {
        "shapeMismatch": False,
        "items": len(p),
        "matchRate": float(np.isclose(q, p, rtol=relative, atol=absolute).all(1).mean()),
        "argmaxAgree": mine == theirs,
        "maxAbsDiff": float(np.abs(p - q).max()),
        "meanAbsDiff": float(np.abs(p - q).mean()),
        "rmse": float(np.sqrt(((p - q) ** 2).mean())),
        "cosine": mean(cosines),
        "klPrimaryShadowNats": "Infinity" if kl_mean == math.inf else kl_mean,
        "jsDistanceBits": mean([js_bits(row, other) if (row >= 0).all() and (other >= 0).all() else None
                                for row, other in zip(p, q)]),
        "topkOverlap": mean([len(x & y) / min(k, width) for x, y in zip(*top)]),
        "agreement": sum(x == y for x, y in zip(mine, theirs)) / len(mine) if width > 1 else None,
        "cohenKappa": kappa(mine, theirs) if width > 1 else None,
    }


for p, q, options in [
    ([0.1, 0.7, 0.2], [0.2, 0.6, 0.2], {}),
    ([0.1, 0.7, 0.2], [0.1, 0.7, 0.2], {"probabilities": True}),
    ([0.5, 0.5, 0], [0.5, 0, 0.5], {"probabilities": True}),
    ([0, 0, 0], [1, 2, 3], {}),
    ([-1, 2], [1, -2], {}),
    ([1000], [1000.05], {}),
    ([1000], [1000.2], {}),
    ([3, 1, 2], [3, 1, 2], {"k": 2}),
    ([9, 8, 7, 6, 5, 4, 3, 2], [9, 8, 7, 6, 1, 5, 5, 2], {}),
    ([1, 5, 5, 2, 9, 9, 0], [9, 5, 5, 2, 1, 8, 0], {"k": 3}),
]:
    case("compareOutputs", [p, q, options], outputs(p, q, **options))
for _ in range(15):
    rows, width = int(rng.integers(1, 9)), int(rng.integers(2, 7))
    p = rng.dirichlet(np.ones(width), rows).round(3)
    q = np.where(rng.random((rows, 1)) < 0.5, p, rng.dirichlet(np.ones(width), rows)).round(3)
    case("compareOutputs", [p.tolist(), q.tolist(), {"probabilities": True, "k": 2}],
         outputs(p, q, probabilities=True, k=2))


def clean(value):
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return clean(value.item())
    if isinstance(value, float) and value.is_integer() and abs(value) < 2 ** 53:
        return int(value)
    return value


if __name__ == "__main__":
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "statistics.json")
    with open(target, "w", encoding="utf-8") as file:
        lines = []
        for name, rows in cases.items():
            listed = ",\n".join(json.dumps(clean(row), ensure_ascii=False, allow_nan=False) for row in rows)
            lines.append(f"{json.dumps(name)}: [\n{listed}\n]")
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    print({name: len(rows) for name, rows in cases.items()})
