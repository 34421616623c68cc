#!/usr/bin/env bash
# Make a bare Debian machine ready for `make e2e`: a Docker engine, both generations of Compose, a
# registry, a base image.
# Not needed where Docker runs already. Keeps what exists; run as root.
#   BASE_IMAGE  the image to have (python:3.11-slim-bookworm)
set -euo pipefail
base="${BASE_IMAGE:-python:3.11-slim-bookworm}"

# Either place may be missing, which sed calls an error.
mirror=$(sed -n -E 's/^(URIs: *|deb +(\[[^]]*\] +)?)(http[^ ]+).*/\3/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -1 || true)
install() { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

# 1. Docker's client, its engine and a Compose, from the distribution.
missing=()
{ docker info || command -v dockerd; } >/dev/null 2>&1 || missing+=(docker.io tini iptables)
{ docker compose version || docker-compose version; } >/dev/null 2>&1 || missing+=(docker-compose)
[ ${#missing[@]} -eq 0 ] || install ca-certificates "${missing[@]}"

# 2. An engine that answers.
if ! docker info >/dev/null 2>&1; then
    log=$(mktemp /tmp/dockerd.XXXXXX)
    nohup setsid dockerd >"$log" 2>&1 </dev/null &
    for _ in $(seq 60); do
        docker info >/dev/null 2>&1 && break
        sleep 0.5
    done
    docker info >/dev/null 2>&1 || { echo "the engine does not answer; it said:"; tail -5 "$log"; exit 1; }
fi

# 3. A base image; where none can be pulled, a Debian with Python stands in for it.
if ! docker image inspect "$base" >/dev/null 2>&1 && ! timeout 120 docker pull -q "$base" 2>/dev/null; then
    command -v debootstrap >/dev/null || install debootstrap
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip \
        bookworm "$root" ${mirror:+"$mirror"} >/dev/null
    # What this machine trusts, its containers have to trust while they install.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/locale/*
    tar -C "$root" -c . | docker import - "$base" >/dev/null
fi

# 4. Compose v2 and buildx as plugins of the client, and a registry: from a newer Debian, unpacked
# and not installed, since their packages would replace the distribution's own.
plugins="${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins"
if ! docker compose version >/dev/null 2>&1 || ! command -v docker-registry >/dev/null; then
    work=$(mktemp -d)
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$plugins"
    chmod 755 "$work"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} trixie main" >"$work/trixie.list"
    newer=(-qq -o Dir::Etc::sourcelist="$work/trixie.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
    apt-get "${newer[@]}" update
    (cd "$work" && apt-get "${newer[@]}" download docker-compose docker-buildx docker-registry)
    for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/unpacked"; done
    cp "$work"/unpacked/usr/libexec/docker/cli-plugins/* "$plugins/"
    cp "$work/unpacked/usr/bin/docker-registry" /usr/local/bin/
    rm -rf "$work"
fi
echo "ready: engine $(docker version --format '{{.Server.Version}}'), base image $base, $(docker compose version)"
