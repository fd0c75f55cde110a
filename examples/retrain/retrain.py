#!/usr/bin/python3
"""Trains the digits model again, for a request that the gateway has sent, and puts the new version
where the gateway serves from.

    python3 examples/retrain/retrain.py --event EVENT.json --models DIR        (- = standard input)

The training rows are those of models/train/train.py and, beside them, the same rows as they look
after the drift that this example is about: a scanner that gives paler images on a grey ground. In
real life take the rows that `data.query` of the event selects from the prediction log, and have them
labelled. Golden samples, metrics and profile of the new version are of rows as they are now, so that
its traffic is compared with what it was trained for.

The new version appears by one rename, whole or not at all, and its manifest names the request it
answers (`lineage.trigger_id`): by that the gateway closes the request.

Needs the Debian packages python3-sklearn, python3-onnx and python3-numpy, and the gateway built
(`npm run build`), whose command line makes the profile.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent.parent / "models" / "train"))

import train  # it sets the number of threads before numpy is loaded
import graphs
import numpy as np
from convnet import SIDE, ConvNet

MODEL = "digits"
REQUESTED = "io.sluice.retrain.requested"
SHAPE = {"filters": 8, "hidden": 48}
HYPER = {"epochs": 15, "batch": 32, "rate": 0.005, "decay": 0.01, "dropout": 0.3}


def drifted(x):
    """Paler, on a grey ground: 0..16 becomes 4..13."""
    return np.round(4 + x * (9 / train.DIGIT_MAX))


def fitted(data):
    """The network of digits version 2, smaller, on rows as they were and as they are now."""
    rng = np.random.default_rng(train.SEED)
    x = np.concatenate([data.x_train, drifted(data.x_train)]) / train.DIGIT_MAX
    y = np.concatenate([data.y_train, data.y_train])
    net = ConvNet(**SHAPE, classes=data.classes, rng=rng).fit(x, y, rng, **HYPER)
    graph = graphs.conv(MODEL, "Handwritten digits, trained again for drifted images",
                        data.input_name, net.params, SIDE, train.DIGIT_MAX)

    def proba(rows):
        return net.predict_proba(rows / train.DIGIT_MAX)

    return proba, graph, f"numpy {np.__version__}", {
        "model": "conv 3x3, max pooling 2x2, dense, dense", "preparation": "x / 16",
        "rows": "training rows, and the same drifted", **SHAPE, **HYPER}


def accuracy(proba, x, y):
    return round(float((proba(x).argmax(axis=1) == y).mean()), 6)


def numbers(folder):
    """Versions that are there, ascending."""
    return sorted(int(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def request_of(text):
    """The trigger id of the event; anything but a request for this model is an error."""
    event = json.loads(text)
    data = event.get("data") or {}
    if event.get("type") != REQUESTED or data.get("model") != MODEL:
        sys.exit(f"retrain.py: expected {REQUESTED} for {MODEL}, "
                 f"got {event.get('type')} for {data.get('model')}")
    return data["trigger_id"]


def described(path, name):
    content = path.read_bytes()
    return {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def publish(models, trigger_id):
    """Trains, writes the version beside its place, and moves it there. Returns its manifest."""
    folder = models / MODEL
    present = numbers(folder)
    for number in present:  # sent twice, or answered before a crash: nothing is left to do
        manifest = folder / str(number) / "manifest.json"
        if manifest.exists():
            lineage = json.loads(manifest.read_text()).get("lineage") or {}
            if lineage.get("trigger_id") == trigger_id:
                return json.loads(manifest.read_text())
    started = datetime.now(timezone.utc)
    data = train.load()[MODEL]
    trained, before = fitted(data), data.x_test
    data.x_train, data.x_test = drifted(data.x_train), drifted(data.x_test)
    parent, version = str(present[-1]) if present else None, str(present[-1] + 1 if present else 1)
    with tempfile.TemporaryDirectory(dir=models.parent, prefix=".retrain-") as scratch:
        manifest = train.write_version(Path(scratch), data, version, trained)
        ready = Path(scratch, MODEL, version)
        for metric in manifest["metrics"]:
            metric["dataset"] += ", drifted"
        manifest["metrics"].append({"name": "accuracy_before", "n": len(data.y_test),
                                    "dataset": "digits held-out 25 %, as it was before the drift",
                                    "value": accuracy(trained[0], before, data.y_test)})
        now = datetime.now(timezone.utc)
        manifest["created"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        manifest["training"].update(code="examples/retrain/retrain.py",
                                    started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
                                    finished=manifest["created"])
        manifest["lineage"] = {"trigger_id": trigger_id, **({"parent": parent} if parent else {})}
        manifest["files"] = [described(ready / f["path"], f["path"]) for f in manifest["files"]]
        train.write(ready / "manifest.json", manifest)
        # The scratch folder is as private as temporary folders are; a version is to be read by others.
        ready.chmod(0o755)
        os.rename(ready, folder / version)
    return manifest


def main():
    parser = argparse.ArgumentParser(description="Train digits again for a request of the gateway.")
    parser.add_argument("--event", default="-", help="the CloudEvent as JSON; - = standard input")
    parser.add_argument("--models", type=Path, required=True, help="the folder that the gateway serves")
    given = parser.parse_args()
    text = sys.stdin.read() if given.event == "-" else Path(given.event).read_text()
    trigger_id = request_of(text)
    print(train.summary(publish(given.models.resolve(), trigger_id)), flush=True)


if __name__ == "__main__":
    main()
