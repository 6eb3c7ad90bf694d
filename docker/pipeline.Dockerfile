# Every stage, on CPUs: the image of the pipeline's tasks.
#
# BASE_IMAGE is Debian with python3.11 and its venv module, by digest. Build: `make images` (docker/README.md).

ARG BASE_IMAGE

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY docker/build.lock.txt docker/sbom.lock.txt docker/pipeline.lock.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python3.11 -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --require-hashes -r sbom.lock.txt \
    && python3.11 -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes -r build.lock.txt \
    && /opt/venv/bin/pip install --require-hashes --no-build-isolation -r pipeline.lock.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --no-index .
RUN /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /sbom.json /opt/venv/bin/python

FROM ${BASE_IMAGE}
# The simulator's renderer loads libX11, although it draws without a display.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libx11-6 \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 hazardline \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/hazardline --shell /usr/sbin/nologin hazardline \
    && install -d -o 10001 -g 10001 /var/lib/hazardline
COPY --from=build /opt/venv /opt/venv
COPY --from=build /sbom.json /opt/hazardline/sbom.json
COPY mlflow/gates /opt/hazardline/mlflow/gates
# For `python -m pipelines listen` (k8s/components/release-listener), which compiles in the cluster. Tasks import neither.
COPY components /opt/hazardline/components
COPY pipelines /opt/hazardline/pipelines
# The root file system is read-only at run time: caches go to /tmp, everything else below HAZARDLINE_HOME. The image may
# be run as a user that it does not know.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=passive \
    HAZARDLINE_HOME=/var/lib/hazardline HOME=/tmp LOGNAME=hazardline
WORKDIR /opt/hazardline
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="hazardline-pipeline-python" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
