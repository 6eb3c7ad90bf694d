# Training and evaluation on GPUs: the image of Ray's head and workers. The wheels of torch bring CUDA; the node
# brings the driver.
#
# BASE_IMAGE is Debian with python3.11 and its venv module, by digest. BUILD_IMAGE may be another one with the same
# python3.11 and CUDA's compiler, which FLASH_ATTENTION=yes needs; hazardline itself uses torch's own attention kernels.
# Build: `make images` (docker/README.md).

ARG BASE_IMAGE
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore DS_BUILD_OPS=0
WORKDIR /build
COPY docker/build.lock.txt docker/sbom.lock.txt docker/train.lock.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python3.11 -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --require-hashes -r sbom.lock.txt \
    && python3.11 -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes -r build.lock.txt \
    && /opt/venv/bin/pip install --require-hashes --no-build-isolation -r train.lock.txt
ARG FLASH_ATTENTION=no
COPY docker/flash-attention.lock.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    test "$FLASH_ATTENTION" != yes \
    || /opt/venv/bin/pip install --require-hashes --no-build-isolation --no-deps -r flash-attention.lock.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --no-index .
RUN /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /sbom.json /opt/venv/bin/python

FROM ${BASE_IMAGE}
# torch.compile and Triton (FlexAttention) compile kernels when they are first used: they need a C++ compiler and
# Python's headers at run time. Older KubeRay asks after Ray's health with wget (kuberay issue 2063).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libpython3.11-dev wget \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 hazardline \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/hazardline --shell /usr/sbin/nologin hazardline \
    && install -d -o 10001 -g 10001 /var/lib/hazardline
COPY --from=build /opt/venv /opt/venv
COPY --from=build /sbom.json /opt/hazardline/sbom.json
COPY mlflow/gates /opt/hazardline/mlflow/gates
# The root file system is read-only at run time: caches go to /tmp, everything else below HAZARDLINE_HOME. The image may
# be run as a user that it does not know.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=passive \
    HAZARDLINE_HOME=/var/lib/hazardline HOME=/tmp LOGNAME=hazardline \
    DS_BUILD_OPS=0 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /opt/hazardline
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="hazardline-train-python" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
