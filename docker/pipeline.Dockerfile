# syntax=docker/dockerfile:1
# The image of all pipeline components: the library with its CPU dependencies. It has not been built or pushed yet.
#
# Build from the root of the repository, with a base of Debian and Python 3.11 pinned by digest:
#   docker build -f docker/pipeline.Dockerfile --build-arg BASE_IMAGE=python:3.11-slim-bookworm@sha256:... .

ARG BASE_IMAGE

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 DS_BUILD_OPS=0
WORKDIR /build
RUN python3.11 -m venv /opt/venv
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
# The extra `pipelines` brings KFP, whose executor starts the component inside the container.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install -c constraints.txt '.[pipelines]'

FROM ${BASE_IMAGE}
# The simulator's renderer loads libX11, although it draws without a display.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libx11-6 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
COPY mlflow/gates /opt/hazardline/mlflow/gates
ENV PATH=/opt/venv/bin:$PATH OMP_WAIT_POLICY=passive PYTHONUNBUFFERED=1
WORKDIR /opt/hazardline
USER 10001:10001
