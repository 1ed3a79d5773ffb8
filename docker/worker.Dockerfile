# A worker of any role, and the migrations job: `merge-reasoner worker --queues ...`, `merge-reasoner migrate`.
#
#   docker build -f docker/worker.Dockerfile -t merge-reasoner .
#   docker build -f docker/worker.Dockerfile -t merge-reasoner-gpu --build-arg LOCK=gpu .         (with vLLM and CUDA)
#
# Where no package index is reached, put the wheels beside it and say so:
#   pip download --require-hashes -r requirements/production.txt -d .wheels
#   docker build ... --build-arg PIP_ARGS="--no-index --find-links=/src/wheels"
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ARG LOCK=production
ARG PIP_ARGS=""
WORKDIR /src
RUN ["python3", "-m", "venv", "/opt/merge-reasoner"]
COPY requirements ./requirements
# The brackets make the folder optional: COPY wants one match at least, and pyproject.toml is always there.
COPY pyproject.toml .wheel[s] ./wheels/
RUN /opt/merge-reasoner/bin/pip --disable-pip-version-check install --no-cache-dir --require-hashes ${PIP_ARGS} \
    -r requirements/${LOCK}.txt
# For the verifiers `entailment` and `facts`: --build-arg TORCH=torch (or the wheel of a CPU build, which is far smaller).
ARG TORCH=""
RUN if [ -n "${TORCH}" ]; then /opt/merge-reasoner/bin/pip --disable-pip-version-check install --no-cache-dir ${PIP_ARGS} \
    --require-hashes -r requirements/entailment.txt \
    && /opt/merge-reasoner/bin/pip --disable-pip-version-check install --no-cache-dir ${PIP_ARGS} ${TORCH}; fi
COPY pyproject.toml README.md ./
COPY reasoner ./reasoner
COPY verifiers ./verifiers
COPY db ./db
COPY migrations ./migrations
COPY worker ./worker
COPY cli ./cli
RUN /opt/merge-reasoner/bin/pip --disable-pip-version-check install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE_IMAGE}
ARG LOCK=production
# Triton compiles the launchers of its kernels with whatever C compiler there is.
RUN if [ "${LOCK}" = gpu ]; then apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*; fi
COPY --from=build /opt/merge-reasoner /opt/merge-reasoner
# The state folder holds models and health reports. The user has a name, since libraries ask for it; in exec form, since a
# base without useradd will do.
RUN ["python3", "-c", "import os; home = '/var/lib/merge-reasoner'; open('/etc/passwd', 'a').write(f'reasoner:x:10001:10001::{home}:/usr/sbin/nologin\\n'); open('/etc/group', 'a').write('reasoner:x:10001:\\n'); os.makedirs(home + '/models'); os.chown(home, 10001, 10001); os.chown(home + '/models', 10001, 10001)"]
# A container's stop is soft: bounded, and what is unfinished is given back (docs/queue.md).
ENV REMAP_SIGTERM=SIGQUIT
# Weights that an engine fetches by itself (vLLM) go where weights are kept, which is what workers share.
ENV PATH=/opt/merge-reasoner/bin:/usr/local/bin:/usr/bin:/bin HOME=/var/lib/merge-reasoner PYTHONUNBUFFERED=1 \
    HF_HOME=/var/lib/merge-reasoner/models/hub \
    MERGEREASONER_STATE_DIR=/var/lib/merge-reasoner MERGEREASONER_METRICS_HOST=0.0.0.0 OMP_WAIT_POLICY=PASSIVE
USER 10001:10001
VOLUME /var/lib/merge-reasoner
ENTRYPOINT ["merge-reasoner"]
HEALTHCHECK --interval=15s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python3", "-m", "worker.health", "/var/lib/merge-reasoner/processes"]
