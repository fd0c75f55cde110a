#!/usr/bin/python3
"""Trains everything again into a temporary folder and compares it with what is committed.

    python3 models/train/check.py [MODELS]           (default: the models/ folder this file is in)

Exit status 1 if a metric, a data set, a signature or the set of versions differs.  Metrics may
differ by 0.0001 (another CPU may round a sum differently), which is less than one row of accuracy.
Whether the files are byte-identical is reported, but is no reason to fail.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import train

TOLERANCE = 1e-4


def compare(committed, trained):
    """Differences between two manifests, as readable lines."""
    lines = [f"{key} differs" for key in ("signature", "features", "semantics", "dataset", "extra")
             if committed.get(key) != trained[key]]
    old = {m["name"]: m for m in committed["metrics"]}
    new = {m["name"]: m for m in trained["metrics"]}
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if a is None or b is None:
            lines.append(f"metric {name} is only in the {'committed' if b is None else 'new'} manifest")
        elif a["n"] != b["n"] or abs(a["value"] - b["value"]) > TOLERANCE:
            lines.append(f"{name}: committed {a['value']} (n {a['n']}), now {b['value']} (n {b['n']})")
    return lines


def main():
    models = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else train.MODELS
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for (model, version), trained in train.run(Path(scratch)).items():
            name = Path(model, version, "manifest.json")
            old = (models / name).read_bytes() if (models / name).exists() else None
            lines = ["not committed"] if old is None else compare(json.loads(old), trained)
            same = old == Path(scratch, name).read_bytes()  # it holds the hashes of the other files
            print(train.summary(trained), " ", "same bytes" if same else "other bytes")
            for line in lines:
                print(f"  {model}/{version}: {line}", file=sys.stderr)
            failed = failed or bool(lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
