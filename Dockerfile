# Every service but those that need compiled kernels, and the `dragon` command. Built by build_api.sh.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# By which the tests find what building leaves behind.
LABEL datadragon.stage=build
WORKDIR /build
# The tools stay here: what is shipped has neither pip nor a build back end.
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/venv
COPY requirements.txt requirements-build.txt ./
RUN tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r requirements.txt \
    && tools/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements-build.txt
COPY . .
RUN tools/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir dist . \
    && tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps dist/*.whl \
    # Libraries' own tests are a third of what is left.
    && find /opt/venv -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} +

FROM ${BASE_IMAGE}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DRAGON_HOME=/fleet \
    DRAGON_COMMITTEE=/fleet/committee.json \
    DRAGON_HOST=0.0.0.0
# A volume takes the owner of the folder that it is first mounted over, so each has to be here:
# nobody in a container is root, and nobody has to be.
RUN groupadd --system --gid 10001 dragon && useradd --system --uid 10001 --gid dragon --no-create-home --home-dir /fleet --shell /usr/sbin/nologin dragon \
    && for service in ca sequencer aggregator zkp_api stream_api sources $(seq -f operator_%g 64); do \
        install -d -o dragon -g dragon -m 0700 /fleet/keys/$service /fleet/data/$service; \
    done \
    && chown dragon:dragon /fleet /fleet/keys /fleet/data
COPY --from=build /opt/venv /opt/venv
USER dragon
WORKDIR /fleet
ENTRYPOINT ["dragon"]
CMD ["--help"]

ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="DataDragon" \
      org.opencontainers.image.description="Operators, aggregator, development sequencer, sources, and the dragon command" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
