#!/usr/bin/env bash
# Assembles what the container image holds, into a directory: the built server, its models and configuration, and the
# packages it needs at run time without the binaries of other platforms. The Dockerfile runs it, and so does a test, because
# what cannot be built here can still be run here.
#
#   scripts/image.sh TARGET        run in the root of the project, after `npm ci` and `npm run build`
set -euo pipefail

target=${1:?usage: scripts/image.sh TARGET}
arch=$(node -p process.arch)
abi=$(node -p process.versions.modules)

mkdir -p "$target"
cp -R package.json package-lock.json .npmrc proto config "$target/"
mkdir -p "$target/dist" "$target/models"
cp -R dist/src dist/bench "$target/dist/"
mkdir -p "$target/src"
cp -R src/console "$target/src/"
for model in models/*/; do
  case $model in models/train/ | models/examples/) ;; *) cp -R "$model" "$target/models/" ;; esac
done

cp -R node_modules "$target/"
(cd "$target" && npm prune --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error)

# Native files of other platforms, architectures and Node versions: 288 MB of the runtime become 46.
runtime="$target/node_modules/onnxruntime-node/bin/napi-v6"
find "$runtime" -mindepth 1 -maxdepth 1 ! -name linux -exec rm -rf {} +
find "$runtime/linux" -mindepth 1 -maxdepth 1 ! -name "$arch" -exec rm -rf {} +
find "$target/node_modules/uWebSockets.js" -name '*.node' ! -name "uws_linux_${arch}_${abi}.node" -delete 2>/dev/null || true
find "$target/node_modules/uws-glibc227" -name '*.node' ! -path "*/binaries/uws_linux_${arch}_${abi}.node" -delete 2>/dev/null || true

du -sh "$target" | cut -f1 | sed 's/^/image content: /'
