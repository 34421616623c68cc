#!/usr/bin/env bash
# Build the image of the `dragon` command, the development sequencer and the sources:
# IMAGE_PREFIX/api, tagged TAG and latest.
#   IMAGE_PREFIX  registry and owner (datadragon)
#   TAG           the version of pyproject.toml, if nothing else is said
#   BASE_IMAGE    what it is built on (python:3.11-slim-bookworm)
# Arguments are passed on to `docker build`.
set -euo pipefail
cd "$(dirname "$0")"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
image="${IMAGE_PREFIX:-datadragon}/api"
tag="${TAG:-$version}"

docker build --target api \
    --build-arg BASE_IMAGE="${BASE_IMAGE:-python:3.11-slim-bookworm}" \
    --build-arg VERSION="$version" \
    --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --build-arg CREATED="$(git log -1 --format=%cI 2>/dev/null || echo unknown)" \
    --tag "$image:$tag" --tag "$image:latest" \
    "$@" .
echo "$image:$tag"
