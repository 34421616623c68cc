# Two images from one file. `api`, the smaller one: the `dragon` command, the development sequencer and
# the sources. `zkp`: every service that makes or verifies many proofs, with compiled code. Built by
# build_api.sh and build_zkp.sh; nothing here needs BuildKit.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# The tools stay in the stages that build: an image has neither pip nor a build back end.
FROM ${BASE_IMAGE} AS dependencies
# The tests find by it what building leaves behind.
LABEL datadragon.stage=build
WORKDIR /build
# With these, two builds of the same sources contain the same bytes: pip compiles nothing, `compileall`
# writes the hash of the source instead of its time, and sets have the same order in each build.
ENV PYTHONHASHSEED=0
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/venv
COPY requirements-api.txt requirements-build.txt ./
# The libraries' own tests are a third of what they install.
RUN tools/bin/pip --python /opt/venv/bin/python install --no-compile --no-cache-dir --only-binary :all: --require-hashes -r requirements-api.txt \
    && find /opt/venv -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} + \
    && tools/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements-build.txt

FROM dependencies AS build
COPY . .
RUN tools/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir dist . \
    && tools/bin/pip --python /opt/venv/bin/python install --no-compile --no-cache-dir --no-deps dist/*.whl \
    && /opt/venv/bin/python -m compileall -q -f -j 1 --invalidation-mode unchecked-hash /opt/venv

FROM ${BASE_IMAGE} AS runtime
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DRAGON_HOME=/fleet \
    DRAGON_COMMITTEE=/fleet/committee.json \
    DRAGON_HOST=0.0.0.0
# A volume takes the owner of the folder that it is first mounted over, so each has to be here:
# no process in a container is root, and none needs to be.
RUN groupadd --system --gid 10001 dragon && useradd --system --uid 10001 --gid dragon --no-create-home --home-dir /fleet --shell /usr/sbin/nologin dragon \
    && for service in ca sequencer aggregator zkp_api stream_api explorer sources $(seq -f operator_%g 64) $(seq -f zkp_api_%g 2 16) $(seq -f stream_api_%g 2 16); do \
        install -d -o dragon -g dragon -m 0700 /fleet/keys/$service /fleet/data/$service; \
    done \
    && chown dragon:dragon /fleet /fleet/keys /fleet/data \
    && install -d -o dragon -g dragon -m 0700 /kernels
WORKDIR /fleet
ENTRYPOINT ["dragon"]

FROM runtime AS api
COPY --from=build /opt/venv /opt/venv
USER dragon
CMD ["--help"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="DataDragon" \
      org.opencontainers.image.description="The dragon command, the development sequencer, and sources" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

FROM dependencies AS prover-build
COPY requirements.txt ./
RUN tools/bin/pip --python /opt/venv/bin/python install --no-compile --no-cache-dir --only-binary :all: --require-hashes -r requirements.txt \
    && find /opt/venv -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} +
COPY --from=build /build/dist dist
RUN tools/bin/pip --python /opt/venv/bin/python install --no-compile --no-cache-dir --no-deps dist/*.whl \
    && /opt/venv/bin/python -m compileall -q -f -j 1 --invalidation-mode unchecked-hash /opt/venv

FROM runtime AS zkp
COPY --from=prover-build /opt/venv /opt/venv
USER dragon
# Compiled for the machine that builds: where it runs on another kind, it compiles once into the
# volume that is mounted here.
ENV NUMBA_CACHE_DIR=/kernels
RUN python -P -c 'from dragon.stark.prover.warmup import warm_up; warm_up(lambda name, done, of: print(done, of, name))'
CMD ["serve", "zkp"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="DataDragon services" \
      org.opencontainers.image.description="Operators, aggregator, explorer, prover and stream service, with compiled code for proofs" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
