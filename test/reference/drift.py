"""Expected values for test/drift-reference.test.ts, computed with numpy and scipy only.

Needs Debian's python3-scipy; the seed is fixed.

    python3 test/reference/drift.py > test/reference/drift.json && npx biome format --write test/reference/drift.json

Nothing here follows the structure of the implementation: edges come from numpy's inverted-CDF quantile, bins from
searchsorted, isotonic regression from the min-max formula, AUC from Mann-Whitney, MCC from a correlation.
"""
import json
import math
import sys
from collections import Counter

import numpy as np
from scipy import integrate, stats

rng = np.random.default_rng(20240617)


def plain(value):
    """NaN and the infinities as text, because JSON has none."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(inner) for inner in value]
    if isinstance(value, (np.bool_, bool)):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        value = float(value)
        return value if math.isfinite(value) else str(value)
    return value


def bin_counts(x, lo, hi, edges):
    inner = 1 + np.searchsorted(edges, x, side="left")
    index = np.where(x < lo, 0, np.where(x > hi, len(edges) + 2, inner))
    return np.bincount(index, minlength=len(edges) + 3)


def folded(counts):
    counts = np.array(counts)
    if len(counts) == 3:
        return counts
    inner = counts[1:-1].copy()
    inner[0] += counts[0]
    inner[-1] += counts[-1]
    return inner


def numeric_profile(values, bins, datatype):
    x = np.array(values, dtype=float) + 0.0
    if datatype == "FP32":
        with np.errstate(over="ignore"):
            x = x.astype(np.float32).astype(float) + 0.0
    if datatype == "FP16":
        with np.errstate(over="ignore"):
            x = x.astype(np.float16).astype(float) + 0.0
    finite = np.sort(x[np.isfinite(x)])
    if len(finite) == 0:
        return None, finite, x
    lo, hi = finite[0], finite[-1]
    quantiles = [np.quantile(finite, i / bins, method="inverted_cdf") for i in range(1, bins)]
    edges = np.array(sorted({q for q in quantiles if q < hi}))
    counts = bin_counts(finite, lo, hi, edges)
    return {
        "n": len(finite),
        "missing": int(np.isnan(x).sum()),
        "invalid": int(np.isinf(x).sum()),
        "lo": lo,
        "hi": hi,
        "edges": edges,
        "counts": counts[1:-1],
        "mean": finite.mean(),
        "m2": finite.var() * len(finite),
        "zeros": int((finite == 0).sum()),
    }, finite, x


def profiles():
    # Sizes are multiples of the bins or prime to them; 1/10 is no double, so quantiles at i/bins are asked where n*i/bins is
    # not a whole number, or where it is one exactly in doubles.
    cases = []
    makers = [
        lambda n: rng.normal(size=n),
        lambda n: rng.exponential(size=n) * 100,
        lambda n: rng.integers(0, 5, size=n).astype(float),
        lambda n: rng.integers(-50, 50, size=n).astype(float),
        lambda n: np.where(rng.random(n) < 0.7, 0.0, rng.normal(size=n)),
        lambda n: np.full(n, 3.25),
        lambda n: rng.normal(size=n) * 1e-2 + 1e3,
    ]
    for bins, sizes in ((4, (8, 61)), (8, (64, 101)), (10, (97, 133))):
        for n in sizes:
            for maker in makers:
                datatype = [None, "FP32", "FP16"][len(cases) % 3]
                values = np.round(maker(n), 4)
                for _ in range(len(cases) % 4):
                    values[rng.integers(n)] = [math.nan, math.inf, -math.inf, -0.0][rng.integers(4)]
                expected, finite, _ = numeric_profile(values, bins, datatype)
                current = np.concatenate([np.round(maker(n) + 0.3, 4), [expected["lo"], expected["hi"], *expected["edges"]]]) + 0.0
                current = current.astype(np.float32).astype(float) + 0.0 if datatype == "FP32" else current
                counts = bin_counts(current, expected["lo"], expected["hi"], expected["edges"])
                cases.append(
                    {
                        "values": values,
                        "bins": bins,
                        "datatype": datatype,
                        "expected": expected,
                        "current": current,
                        "currentCounts": counts,
                        "folded": folded(counts),
                        "currentMoments": {
                            "mean": current.mean(),
                            "m2": current.var() * len(current),
                            "min": current.min(),
                            "max": current.max(),
                        },
                    }
                )
    return cases


def categories():
    cases = []
    for distinct, n in ((3, 50), (100, 1500), (101, 3000), (1000, 8000), (1001, 20000), (1500, 20000)):
        weights = 1 / np.arange(1, distinct + 1)
        keys = np.array([f"k{i:04d}" for i in range(distinct)])
        rng.shuffle(keys)
        values = list(keys) + list(rng.choice(keys, size=n - distinct, p=weights / weights.sum()))
        counts = Counter(values)
        own = sorted(counts) if distinct <= 100 else sorted(sorted(counts, key=lambda k: (-counts[k], k))[:100])
        others = sorted(set(counts) - set(own))
        cases.append(
            {
                "values": {key: counts[key] for key in sorted(counts)},
                "counts": {key: counts[key] for key in own},
                "other": sum(counts[key] for key in others),
                "otherKeys": others[:900],
                "unseenTracked": len(others) <= 900,
            }
        )
    return cases


def psi(a, b):
    p, q = a / a.sum(), b / b.sum()
    keep = (a > 0) | (b > 0)
    p, q = np.where(p == 0, 1e-4, p)[keep], np.where(q == 0, 1e-4, q)[keep]
    return float(((q - p) * np.log(q / p)).sum())


def bh(ps):
    ps = np.array(ps)
    order = np.argsort(-ps, kind="stable")
    m = len(ps)
    scaled = np.minimum.accumulate(np.minimum(1, ps[order] * m / np.arange(m, 0, -1)))
    adjusted = np.empty(m)
    adjusted[order] = scaled
    return adjusted


def decisions():
    cases = []
    for _ in range(25):
        features = []
        for index in range(int(rng.integers(1, 9))):
            k = int(rng.integers(2, 12))
            p = rng.dirichlet(np.full(k, 5.0))
            tilt = rng.dirichlet(np.full(k, 5.0))
            mix = rng.choice([0, 0.1, 0.3, 0.7])
            n, m = int(rng.choice([300, 600, 5000])), int(rng.choice([150, 500, 900, 4000]))
            a, b = rng.multinomial(n, p), rng.multinomial(m, p * (1 - mix) + tilt * mix)
            family = ["features", "outputs"][int(rng.random() < 0.3)]
            features.append({"name": f"f{index}", "family": family, "reference": a, "current": b})
        for feature in features:
            a, b = feature["reference"], feature["current"]
            keep = (a + b) > 0
            corrected = psi(a, b) - (len(a) - 1) * (1 / a.sum() + 1 / b.sum())
            p = 1.0 if keep.sum() == 1 else stats.chi2_contingency([a[keep], b[keep]], correction=False)[1]
            feature["expected"] = {
                "psi": psi(a, b),
                "psiCorrected": corrected,
                "p": p,
                "eligible": min(a.sum(), b.sum()) >= 500,
                "pAdjusted": None,
            }
        for family in ("features", "outputs"):
            group = [f["expected"] for f in features if f["family"] == family and f["expected"]["eligible"]]
            for expected, adjusted in zip(group, bh([e["p"] for e in group]) if group else []):
                expected["pAdjusted"] = adjusted
        for feature in features:
            e = feature["expected"]
            if not e["eligible"]:
                e["status"] = "insufficient_data"
            elif e["pAdjusted"] > 0.05 + 1e-12 or e["psiCorrected"] < 0.1:
                e["status"] = "ok"
            else:
                e["status"] = "alert" if e["psiCorrected"] >= 0.25 else "warn"
        cases.append(features)
    return cases


def pooled_p(x_a, n_a, x_b, n_b):
    p = (x_a + x_b) / (n_a + n_b)
    se = math.sqrt(p * (1 - p) * (1 / n_a + 1 / n_b))
    z = 0 if se == 0 else (x_b / n_b - x_a / n_a) / se
    return float(stats.norm.sf(z))


def quality():
    cases = []
    for _ in range(20):
        features = []
        for _ in range(5):
            n, m = int(rng.choice([400, 800, 5000])), int(rng.choice([400, 700, 3000]))
            then, now = int(rng.binomial(n, 0.05)), int(rng.binomial(m, rng.choice([0.05, 0.08, 0.2])))
            features.append({"then": then, "n": n, "now": now, "m": m, "p": pooled_p(then, n, now, m)})
        enough = [f for f in features if min(f["n"], f["m"]) >= 500]
        for feature, adjusted in zip(enough, bh([f["p"] for f in enough]) if enough else []):
            by = feature["now"] / feature["m"] - feature["then"] / feature["n"]
            feature["pAdjusted"] = adjusted
            feature["status"] = "fires" if by >= 0.02 and adjusted <= 0.05 + 1e-12 else "ok"
        for feature in features:
            feature.setdefault("status", "insufficient_data")
        cases.append(features)
    return cases


def isotonic(x, y):
    """Min-max formula over distinct x: g_i = max over j <= i of min over k >= i of the mean of points j … k."""
    knots = np.unique(x)
    sums = np.array([y[x == knot].sum() for knot in knots])
    sizes = np.array([(x == knot).sum() for knot in knots])
    n = len(knots)
    mean = lambda j, k: sums[j : k + 1].sum() / sizes[j : k + 1].sum()
    return knots, np.array([max(min(mean(j, k) for k in range(i, n)) for j in range(i + 1)) for i in range(n)])


def calibrated():
    cases = []
    for size in (1, 2, 5, 12, 25, 40):
        for _ in range(4):
            x = np.round(rng.random(size), 2)
            y = (rng.random(size) < x).astype(float) if size > 2 else np.round(rng.random(size), 3)
            knots, fitted = isotonic(x, y)
            scores = np.round(rng.random(60), 4)
            chances = np.interp(scores, knots, fitted)
            threshold = float(rng.choice([0.3, 0.5, 0.7]))
            positive = scores >= threshold
            tp, fp = chances[positive].sum(), (1 - chances[positive]).sum()
            fn, tn = chances[~positive].sum(), (1 - chances[~positive]).sum()
            descending = np.sort(chances)[::-1]
            tps = np.concatenate([[0], np.cumsum(descending)])
            fps = np.concatenate([[0], np.cumsum(1 - descending)])
            defined = tps[-1] > 0 and fps[-1] > 0
            cases.append(
                {
                    "x": x,
                    "y": y,
                    "scores": scores,
                    "chances": chances,
                    "threshold": threshold,
                    "accuracy": (tp + tn) / 60,
                    "precision": tp / (tp + fp) if tp + fp else 0,
                    "recall": tp / (tp + fn) if tp + fn else 0,
                    "f1": tp / (tp + 0.5 * (fp + fn)) if tp + fp + fn else 0,
                    "auc": integrate.trapezoid(tps / tps[-1], fps / fps[-1]) if defined else None,
                }
            )
    return cases


def reconstruction():
    cases = []
    for d, k in ((2, 1), (5, 2), (8, 8), (20, 8)):
        components = np.linalg.qr(rng.normal(size=(d, d)))[0].T[:k]
        mean, scale = rng.normal(size=d) * 10, rng.random(d) + 0.1
        rows = rng.normal(size=(6, d)) * 5
        rows[1, 0] = math.nan
        z = np.nan_to_num((rows - mean) / scale, nan=0.0)
        errors = np.linalg.norm(z - z @ components.T @ components, axis=1)
        cases.append({"mean": mean, "scale": scale, "components": components, "rows": rows, "errors": errors})
    return cases


def binary():
    cases = []
    for n in (3, 20, 150, 400):
        for digits in (1, 3, 6):
            scores = np.round(rng.random(n), digits)
            labels = (rng.random(n) < 0.2 + 0.6 * scores).astype(int)
            threshold = 0.5
            predicted = scores >= threshold
            tp, fp = int((predicted & (labels == 1)).sum()), int((predicted & (labels == 0)).sum())
            fn, tn = int((~predicted & (labels == 1)).sum()), int((~predicted & (labels == 0)).sum())
            p, q = int(labels.sum()), int(n - labels.sum())
            auc = None
            if p and q:
                auc = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic / (p * q)
            precision_at = []
            for score in sorted(set(scores), reverse=True):
                chosen = scores >= score
                precision_at.append((labels[chosen].sum() / max(p, 1), labels[chosen].mean()))
            before, area = 0.0, 0.0
            for recall, precision in precision_at:
                area += (recall - before) * precision
                before = recall
            truth = np.clip(np.where(labels == 1, scores, 1 - scores), 1e-15, 1 - 1e-15)
            bins = np.minimum(np.floor(10 * scores), 9)
            ece = sum(
                (bins == b).mean() * abs(scores[bins == b].mean() - labels[bins == b].mean()) for b in np.unique(bins)
            )
            mcc = 0.0
            if len(set(predicted)) == 2 and len(set(labels)) == 2:
                mcc = np.corrcoef(predicted.astype(float), labels)[0, 1]
            binned = np.minimum(np.floor(1000 * scores), 999)
            binned_auc = None
            if p and q:
                binned_auc = stats.mannwhitneyu(binned[labels == 1], binned[labels == 0]).statistic / (p * q)
            losses = (scores - labels) ** 2
            interval = stats.t.interval(0.95, n - 1, loc=losses.mean(), scale=stats.sem(losses))
            cases.append(
                {
                    "scores": scores,
                    "labels": labels,
                    "counts": [tp, fp, tn, fn],
                    "accuracy": (tp + tn) / n,
                    "precision": tp / (tp + fp) if tp + fp else 0,
                    "recall": tp / (tp + fn) if tp + fn else 0,
                    "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0,
                    "specificity": tn / (tn + fp) if tn + fp else None,
                    "mcc": mcc,
                    "brier": losses.mean(),
                    "brierInterval": interval,
                    "logLoss": -np.log(truth).mean(),
                    "auc": auc,
                    "binnedAuc": binned_auc,
                    "averagePrecision": area if p and q else None,
                    "ece": ece,
                }
            )
    return cases


def multiclass():
    cases = []
    for n, k in ((10, 3), (200, 4), (500, 12)):
        names = [f"c{i}" for i in range(k)]
        truth = rng.choice(names[:-1], size=n)
        predicted = np.where(rng.random(n) < 0.7, truth, rng.choice(names, size=n))
        labels = sorted(set(truth) | set(predicted))
        confusion = [[int(((truth == a) & (predicted == b)).sum()) for b in labels] for a in labels]
        m = np.array(confusion)
        f1 = 2 * np.diag(m) / (m.sum(axis=0) + m.sum(axis=1))
        cases.append(
            {
                "truth": list(truth),
                "predicted": list(predicted),
                "labels": labels,
                "confusion": confusion,
                "accuracy": (truth == predicted).mean(),
                "f1": f1,
                "macro": f1.mean(),
                "weighted": (f1 * m.sum(axis=1)).sum() / n,
            }
        )
    return cases


def regression():
    cases = []
    for n, offset in ((5, 0), (80, 1e6), (301, -3)):
        truth = np.round(rng.normal(size=n) * 4 + offset, 3)
        predicted = np.round(truth + rng.normal(size=n) + 0.4, 3)
        error = predicted - truth
        cases.append(
            {
                "truth": truth,
                "predicted": predicted,
                "mae": np.abs(error).mean(),
                "mse": (error**2).mean(),
                "rmse": math.sqrt((error**2).mean()),
                "r2": 1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum(),
                "bias": error.mean(),
                "median": np.median(np.abs(error)),
                "biasInterval": stats.t.interval(0.95, n - 1, loc=error.mean(), scale=stats.sem(error)),
            }
        )
    return cases


def wilson(p, n):
    # From scipy: the score interval at 90 %.
    interval = stats.binomtest(int(round(p * n)), n).proportion_ci(0.9, method="wilson")
    return interval.low, interval.high


def degradation():
    cases = []
    for _ in range(20):
        n_r, n_c = int(rng.choice([300, 15000])), int(rng.choice([100, 200, 500, 5000]))
        x_r, x_c = int(rng.binomial(n_r, 0.94)), int(rng.binomial(n_c, rng.choice([0.80, 0.90, 0.93, 0.95])))
        r, c = x_r / n_r, x_c / n_c
        (l_r, u_r), (l_c, u_c) = wilson(r, n_r), wilson(c, n_c)
        low = r - c - math.sqrt((r - l_r) ** 2 + (u_c - c) ** 2)
        high = r - c + math.sqrt((u_r - r) ** 2 + (c - l_c) ** 2)
        verdict = "insufficient_data" if n_c < 200 else "degraded" if low > 0.02 else "ok" if high <= 0.02 else "undecided"
        cases.append({"r": r, "nR": n_r, "c": c, "nC": n_c, "low": low, "high": high, "verdict": verdict})
    return cases


def hanley_mcneil():
    cases = []
    for a, p, n in ((0.5, 10, 10), (0.72, 40, 160), (0.98, 300, 700), (1.0, 5, 5)):
        q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
        se = math.sqrt((a * (1 - a) + (p - 1) * (q1 - a * a) + (n - 1) * (q2 - a * a)) / (p * n))
        half = stats.norm.ppf(0.975) * se
        cases.append({"auc": a, "p": p, "n": n, "se": se, "low": max(0, a - half), "high": min(1, a + half)})
    return cases


def murmur(text, seed):
    def rotated(x, by):
        return ((x << by) | (x >> (32 - by))) & 0xFFFFFFFF

    data, h = text.encode(), seed
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * 0xCC9E2D51 & 0xFFFFFFFF
        h = (rotated(h ^ (rotated(k, 15) * 0x1B873593 & 0xFFFFFFFF), 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    if len(data) > whole:
        k = int.from_bytes(data[whole:], "little") * 0xCC9E2D51 & 0xFFFFFFFF
        h ^= rotated(k, 15) * 0x1B873593 & 0xFFFFFFFF
    h ^= len(data)
    h = (h ^ (h >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ (h >> 16)


def distinct():
    cases = []
    for n in (1, 10, 500, 20000):
        registers = np.zeros(4096, dtype=int)
        for i in range(n):
            h = murmur(f"user-{i}", 0) << 32 | murmur(f"user-{i}", 1)
            rest = h & ((1 << 52) - 1)
            register = h >> 52
            registers[register] = max(registers[register], 52 - rest.bit_length() + 1)
        raw = 0.7213 / (1 + 1.079 / 4096) * 4096**2 / (2.0**-registers).sum()
        empty = int((registers == 0).sum())
        estimate = 4096 * math.log(4096 / empty) if raw <= 2.5 * 4096 and empty else raw
        cases.append({"n": n, "estimate": estimate, "sum": int(registers.sum())})
    return cases


json.dump(
    plain(
        {
            "origin": "test/reference/drift.py, numpy " + np.__version__,
            "profiles": profiles(),
            "categories": categories(),
            "decisions": decisions(),
            "quality": quality(),
            "calibrated": calibrated(),
            "reconstruction": reconstruction(),
            "binary": binary(),
            "multiclass": multiclass(),
            "regression": regression(),
            "degradation": degradation(),
            "hanleyMcNeil": hanley_mcneil(),
            "distinct": distinct(),
        }
    ),
    sys.stdout,
)
