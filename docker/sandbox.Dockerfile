# What Docker containers of the sandbox are made of: a Python, its libraries, and our code for the inside.
#
#   docker build -f docker/sandbox.Dockerfile -t merge-reasoner-sandbox .
#   docker build ... --build-arg BASE_IMAGE=python:3.13-slim --build-arg PACKAGES="numpy==2.3.5"
#   docker build ... --build-arg NODE="==24.19.0"     (for programs in JavaScript; a base that has node will do as well)
#
# `python -m verifiers.sandbox.docker_image` does the same without a registry: it makes the base of the running Python,
# and of node if there is one.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS build
ARG PACKAGES=""
ARG NODE=""
ENV PATH=/python/bin:/usr/local/bin:/usr/bin:/bin
COPY docker/sandbox_root.py /sandbox_root.py
RUN ["python3", "/sandbox_root.py", "install"]
COPY verifiers/sandbox/inside /runtime/verifiers/sandbox/inside
RUN ["python3", "/sandbox_root.py", "trim"]

FROM build AS around
COPY docker/sandbox_root.py /around/sandbox_root.py
RUN ["python3", "/around/sandbox_root.py", "surround"]

# The root folder of programs under test is /room. The container's own has links to what is in there, and beside it
# what an engine puts into every container: /proc, /sys, /etc/hosts and the like.
FROM scratch
COPY --from=build / /room/
COPY --from=around /around/ /
ARG RUNTIME_DIGEST=""
LABEL merge-reasoner.runtime=${RUNTIME_DIGEST}
ENV PATH=/python/bin:/usr/local/bin:/usr/bin:/bin LD_LIBRARY_PATH=/lib PYTHONPATH=/runtime PYTHONHASHSEED=0 \
    HOME=/tmp MALLOC_ARENA_MAX=2 PYTHONUTF8=1 PYTHONIOENCODING=utf-8:backslashreplace
WORKDIR /tmp
ENTRYPOINT ["python3", "-s", "-P", "-B"]
