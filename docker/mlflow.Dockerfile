# syntax=docker/dockerfile:1
# The image of the MLflow server (k8s/base/mlflow), of its migrations and of its backup. It has not been built or pushed yet.
#
# Build from the root of the repository, with a base of Debian and Python 3.11 pinned by digest:
#   docker build -f docker/mlflow.Dockerfile --build-arg BASE_IMAGE=python:3.11-slim-bookworm@sha256:... .

ARG BASE_IMAGE

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python3.11 -m venv /opt/venv
COPY constraints.txt ./
# The server as the line's clients know it, users (Flask-WTF), PostgreSQL and S3; nothing of hazardline, and no torch.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install -c constraints.txt mlflow databricks-sdk boto3 flask-wtf 'psycopg[binary]'

FROM ${BASE_IMAGE}
# pg_dump and pg_restore, for the backup. Debian 12's are of PostgreSQL 15, and refuse a server that is newer.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
