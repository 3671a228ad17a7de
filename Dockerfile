# The image of docker-compose.yml: the commands `orchestrate` and `worker`, without build tools.
# It has the extra `gateway`, too.
# Any Debian with Python 3.11 or newer works: docker build --build-arg PYTHON_IMAGE=python:3.13-slim .
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_ONLY_BINARY=:all:
WORKDIR /build
RUN python -m venv --without-pip /opt/taskorch && python -m venv --without-pip /opt/build
# The dependencies first: this layer is reused while only our own code changes. Every download is in lock/ with its hash;
# a dependency that the lock lacks fails the build.
COPY lock/build.txt lock/image.txt lock/
RUN pip --python /opt/build/bin/python install --require-hashes --requirement lock/build.txt \
    && pip --python /opt/taskorch/bin/python install --require-hashes --requirement lock/image.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY shared shared
COPY worker worker
COPY orchestrator orchestrator
COPY gateway gateway
COPY docs docs
RUN /opt/build/bin/python -m hatchling build --target wheel --directory dist \
    && pip --python /opt/taskorch/bin/python install --no-index --no-deps dist/*.whl \
    && pip --python /opt/taskorch/bin/python check

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/taskorch /opt/taskorch
ENV PATH=/opt/taskorch/bin:$PATH PYTHONUNBUFFERED=1 TASKORCH_ROOT=/project
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /project taskorch \
    && install --directory --owner taskorch --group taskorch /project
WORKDIR /project
# By number, so that a cluster can verify that the user is not root.
USER 10001:10001
CMD ["orchestrate", "--help"]
