# The MLflow server (k8s/base/mlflow), its migrations and its backup: nothing of hazardline, and no torch.
#
# BASE_IMAGE is Debian with python3.11 and its venv module, by digest. Build: `make images` (docker/README.md).

ARG BASE_IMAGE

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY docker/build.lock.txt docker/sbom.lock.txt docker/mlflow.lock.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python3.11 -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --require-hashes -r sbom.lock.txt \
    && python3.11 -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes -r build.lock.txt \
    && /opt/venv/bin/pip install --require-hashes --no-build-isolation -r mlflow.lock.txt
RUN /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /sbom.json /opt/venv/bin/python

FROM ${BASE_IMAGE}
# pg_dump and pg_restore, for the backup. Debian 12's are of PostgreSQL 15, and refuse a server that is newer.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
COPY --from=build /sbom.json /opt/hazardline/sbom.json
# The root file system is read-only at run time: caches go to /tmp.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /opt/hazardline
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="hazardline-mlflow" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
