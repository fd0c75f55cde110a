#!/usr/bin/python3
"""Trains the models in models/ and writes them as model versions the gateway can load.

    python3 models/train/train.py [--out DIR]        (default: the models/ folder itself)

Two data sets, two versions each, and both versions of a model take and return the same tensors,
so that one can replace, shadow or be compared with the other:

    digits  8x8 handwritten digits    1: multinomial logistic regression   2: convolutional network
    cancer  30 measures of a tumour   1: logistic regression               2: extremely randomised trees

Both data sets come with scikit-learn; nothing is downloaded.  Seeds, split and `created` are
constants and the linear algebra runs on one thread, so training again gives the same models.
Hyperparameters were chosen by cross-validation on the training rows only.

Each version ships profile.json: what its inputs and answers were like over the rows it was trained on,
which is what live traffic is compared with, and how right its scores were on the rows held out.  It is
made by `sluice profile build`, so `npm run build` first.

Needs the Debian packages python3-sklearn, python3-onnx and python3-numpy.
"""

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is loaded: sums always in the same order
sys.dont_write_bytecode = True

import numpy as np
import onnx
import sklearn
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import graphs
from convnet import SIDE, ConvNet

SEED = 7
HELD_OUT = 0.25
CREATED = "2026-11-21T00:00:00Z"
ATOL, RTOL = 1e-5, 1e-4
GOLDEN_ROWS = (1, 8)
DIGIT_MAX = 16.0
MODELS = Path(__file__).resolve().parent.parent
SLUICE = os.environ.get("PROFILE_CLI", str(MODELS.parent / "dist" / "src" / "cli.js"))


# ---------------------------------------------------------------------------------- data

class Data:
    """A data set and its split.  Inputs are float32, as a client sends them, held in float64."""

    def __init__(self, model, loader, input_name, labels, features):
        bunch = loader()
        x32 = np.ascontiguousarray(bunch.data, dtype="<f4")
        y = np.ascontiguousarray(bunch.target, dtype="<i8")
        self.model, self.input_name = model, input_name
        self.source, self.rows = f"sklearn.datasets.{loader.__name__}", len(y)
        self.sha256 = hashlib.sha256(x32.tobytes() + y.tobytes()).hexdigest()
        self.labels = labels or [str(n) for n in bunch.target_names]
        self.features = features or [str(n) for n in bunch.feature_names]
        self.columns, self.classes = x32.shape[1], len(self.labels)
        self.x_train, self.x_test, self.y_train, self.y_test = train_test_split(
            x32.astype(np.float64), y, test_size=HELD_OUT, random_state=SEED, stratify=y)


def load():
    digit_names = [str(d) for d in range(10)]
    return {"digits": Data("digits", load_digits, "image", digit_names, None),
            "cancer": Data("cancer", load_breast_cancer, "features", None, None)}


# -------------------------------------------------------------------------------- models
# Each trainer returns: proba (a float64 function of raw inputs, independent of ONNX), the
# serialised ONNX model, the framework and the hyperparameters.

def logistic(data, scaler, preparation, title, **hyper):
    """Logistic regression for any number of classes, on (x - mean) / scale."""
    mean, scale = scaler
    model = LogisticRegression(random_state=SEED, **hyper)
    model.fit((data.x_train - mean) / scale, data.y_train)
    weights, bias = model.coef_.T, model.intercept_
    if data.classes == 2:  # one score for class 1; class 0 has the score 0
        weights, bias = np.hstack([0 * weights, weights]), np.hstack([0 * bias, bias])
    graph = graphs.linear(data.model, title, data.input_name, weights, bias, mean, scale)

    def proba(x):
        return model.predict_proba((x - mean) / scale)

    return proba, graph, f"scikit-learn {sklearn.__version__}", {
        "model": "LogisticRegression", "preparation": preparation, **hyper}


def digits_1(data):
    scaler = np.zeros(data.columns), np.full(data.columns, DIGIT_MAX)
    return logistic(data, scaler, "x / 16", "Handwritten digits, multinomial logistic regression",
                    C=1.0, tol=1e-8, max_iter=10000)


def digits_2(data):
    shape = {"filters": 16, "hidden": 64}
    hyper = {"epochs": 60, "batch": 32, "rate": 0.005, "decay": 0.01, "dropout": 0.4}
    rng = np.random.default_rng(SEED)
    net = ConvNet(**shape, classes=data.classes, rng=rng)
    net.fit(data.x_train / DIGIT_MAX, data.y_train, rng, **hyper)
    graph = graphs.conv(data.model, "Handwritten digits, convolutional network", data.input_name,
                        net.params, SIDE, DIGIT_MAX)

    def proba(x):
        return net.predict_proba(x / DIGIT_MAX)

    return proba, graph, f"numpy {np.__version__}", {
        "model": "conv 3x3, max pooling 2x2, dense, dense", "optimizer": "Adam, cosine decay",
        "preparation": "x / 16", **shape, **hyper}


def cancer_1(data):
    scaler = StandardScaler().fit(data.x_train)
    return logistic(data, (scaler.mean_, scaler.scale_), "(x - mean) / standard deviation",
                    "Breast cancer, logistic regression", C=1.0, tol=1e-8, max_iter=10000)


def cancer_2(data):
    hyper = {"n_estimators": 100, "max_depth": 10}
    model = ExtraTreesClassifier(random_state=SEED, **hyper).fit(data.x_train, data.y_train)
    graph = graphs.forest(data.model, "Breast cancer, extremely randomised trees",
                          data.input_name, data.columns, model.estimators_, data.classes)
    return model.predict_proba, graph, f"scikit-learn {sklearn.__version__}", {
        "model": "ExtraTreesClassifier", "preparation": "none", **hyper}


TRAINERS = {("digits", "1"): digits_1, ("digits", "2"): digits_2,
            ("cancer", "1"): cancer_1, ("cancer", "2"): cancer_2}


# ------------------------------------------------------------------------------- writing

def number(value):
    """Shortest decimal that reads back as the same float32; whole numbers without a point."""
    value = float(str(np.float32(value)))
    return int(value) if value.is_integer() else value


def to_json(value, indent=0):
    """JSON with one line for whatever fits in one, and long lists of numbers filled to the width."""
    line = json.dumps(value)
    pad = " " * (indent + 2)
    if len(line) + indent <= 96 or not isinstance(value, (list, dict)):
        return line
    if isinstance(value, dict):
        body = [f"{json.dumps(k)}: {to_json(v, indent + 2)}" for k, v in value.items()]
    elif isinstance(value[0], (list, dict)):
        body = [to_json(v, indent + 2) for v in value]
    else:
        body = textwrap.wrap(line[1:-1], 96 - indent, break_long_words=False, break_on_hyphens=False)
        return "[\n" + "\n".join(pad + b for b in body) + "\n" + " " * indent + "]"
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n" + ",\n".join(pad + b for b in body) + f"\n{' ' * indent}{right}"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else (to_json(content) + "\n").encode())


def request(data, x):
    return {"inputs": [{"name": data.input_name, "shape": list(x.shape), "datatype": "FP32",
                        "data": [number(v) for v in x.ravel()]}]}


def response(data, p):
    return {"outputs": [
        {"name": "label", "datatype": "INT64", "shape": [len(p)], "data": p.argmax(axis=1).tolist()},
        {"name": "probabilities", "datatype": "FP32", "shape": list(p.shape),
         "data": [number(v) for v in p.ravel()]}]}


def metrics(data, p):
    y = data.y_test
    values = {"accuracy": accuracy_score(y, p.argmax(axis=1)), "log_loss": log_loss(y, p)}
    if data.classes == 2:
        values["roc_auc"] = roc_auc_score(y, p[:, 1])
    else:
        values["f1_macro"] = f1_score(y, p.argmax(axis=1), average="macro")
    return [{"name": k, "value": round(float(v), 6), "n": len(y),
             "dataset": f"{data.model} held-out 25 %"} for k, v in values.items()]


def semantics(data):
    if data.classes == 2:
        return {"task": "binary", "score": {"output": "probabilities", "column": 1}, "threshold": 0.5,
                "labels": data.labels, "probabilities": ["probabilities"]}
    return {"task": "multiclass", "labels": data.labels, "probabilities": ["probabilities"]}


def write_profile(folder, data, proba):
    """profile.json for the version in `folder`, whose manifest says what its features are."""
    def answers(x):
        p = proba(x)
        score = p[:, 1] if data.classes == 2 else p.max(axis=1)
        return p.argmax(axis=1).tolist(), [float(np.float32(s)) for s in score]

    manifest = json.loads((folder / "manifest.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        table, held_out = Path(scratch, f"{data.source}.csv"), Path(scratch, "held-out.csv")
        with open(table, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow([*data.features, "prediction", "score"])
            rows.writerows([*map(number, row), *answer]
                           for row, *answer in zip(data.x_train, *answers(data.x_train)))
        with open(held_out, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["prediction", "score", "label"])
            rows.writerows(zip(*answers(data.x_test), data.y_test.tolist()))
        subprocess.run(
            ["node", SLUICE, "profile", "build", "--from", str(table), "--out", str(folder / "profile.json"),
             "--labelled", str(held_out), "--label", "label", "--model", data.model, "--model-version", manifest["version"],
             "--manifest", str(folder / "manifest.json")],
            check=True, stdout=subprocess.DEVNULL)


def write_version(out, data, version, trained):
    proba, graph, framework, hyper = trained
    folder = out / data.model / version
    names, golden, row = ["model.onnx"], [], 0
    write(folder / "model.onnx", graph)
    for i, count in enumerate(GOLDEN_ROWS):
        x = data.x_test[row:row + count]
        row += count
        pair = f"golden/{i}.json", f"golden/{i}.out.json"
        write(folder / pair[0], request(data, x))
        write(folder / pair[1], response(data, proba(x)))
        names.extend(pair)
        golden.append({"request": pair[0], "response": pair[1], "atol": ATOL, "rtol": RTOL})

    def described(name):
        content = (folder / name).read_bytes()
        return {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    manifest = {
        "schema": 1, "model": data.model, "version": version, "created": CREATED,
        "files": [described(n) for n in names],
        "signature": {
            "inputs": [{"name": data.input_name, "datatype": "FP32", "shape": [-1, data.columns]}],
            "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]},
                        {"name": "probabilities", "datatype": "FP32", "shape": [-1, data.classes]}]},
        "features": [{"name": n, "input": data.input_name, "column": i, "kind": "numeric"}
                     for i, n in enumerate(data.features)],
        "semantics": semantics(data),
        "metrics": metrics(data, proba(data.x_test)),
        "training": {
            "framework": framework, "code": "models/train/train.py", "seed": SEED,
            "hyperparameters": hyper,
            "environment": f"Python {sys.version_info[0]}.{sys.version_info[1]}, scikit-learn "
                           f"{sklearn.__version__}, numpy {np.__version__}, onnx {onnx.__version__}"},
        "dataset": {"name": data.source, "rows": data.rows, "sha256": data.sha256},
        "golden": golden,
        "breaking": False,
        "extra": {"split": {"held_out": HELD_OUT, "stratified": True, "seed": SEED,
                            "train_rows": len(data.y_train), "held_out_rows": len(data.y_test)}},
    }
    write(folder / "manifest.json", manifest)
    write_profile(folder, data, proba)
    manifest["files"].append(described("profile.json"))
    manifest["profile"] = "profile.json"
    write(folder / "manifest.json", manifest)
    return manifest


def write_examples(out, data, proba):
    """Requests to try the gateway with: a held-out 7 that digits version 2 recognises, one tumour."""
    digits, cancer = data["digits"], data["cancer"]
    hit = proba["digits", "2"](digits.x_test).argmax(axis=1) == digits.y_test
    seven = int(np.flatnonzero(hit & (digits.y_test == 7))[0])
    write(out / "examples" / "digit-7.json", {"id": "digit-7", **request(digits, digits.x_test[[seven]])})
    write(out / "examples" / "digits-100.json", {"id": "digits-100", **request(digits, digits.x_test[:100])})
    write(out / "examples" / "cancer.json", {"id": "cancer", **request(cancer, cancer.x_test[[0]])})


def run(out):
    """Trains everything into `out`; returns {(model, version): manifest}."""
    data, proba, manifests = load(), {}, {}
    for (model, version), trainer in TRAINERS.items():
        trained = trainer(data[model])
        proba[model, version] = trained[0]
        manifests[model, version] = write_version(out, data[model], version, trained)
    write_examples(out, data, proba)
    return manifests


def summary(manifest):
    values = "  ".join(f"{m['name']} {m['value']:.4f}" for m in manifest["metrics"])
    return f"{manifest['model']}/{manifest['version']}  {manifest['files'][0]['size']:>6} bytes  {values}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the models and write them as versions.")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder to write to")
    for trained_manifest in run(parser.parse_args().out).values():
        print(summary(trained_manifest))
