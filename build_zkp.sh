#!/usr/bin/env bash
# Build the image of operators, aggregator, explorer, prover and stream service, which has compiled
# code: IMAGE_PREFIX/zkp, tagged TAG and latest.
#   IMAGE_PREFIX  registry and owner (datadragon)
#   TAG           the version of pyproject.toml, if nothing else is said
#   BASE_IMAGE    what it is built on (python:3.11-slim-bookworm)
# Arguments are passed on to `docker build`.
set -euo pipefail
cd "$(dirname "$0")"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
image="${IMAGE_PREFIX:-datadragon}/zkp"
tag="${TAG:-$version}"

docker build --target zkp \
    --build-arg BASE_IMAGE="${BASE_IMAGE:-python:3.11-slim-bookworm}" \
    --build-arg VERSION="$version" \
    --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --build-arg CREATED="$(git log -1 --format=%cI 2>/dev/null || echo unknown)" \
    --tag "$image:$tag" --tag "$image:latest" \
    "$@" .
echo "$image:$tag"
