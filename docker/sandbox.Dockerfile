# What Docker containers of the sandbox are made of: a Python, its libraries, and our code for the inside.
#
#   docker build -f docker/sandbox.Dockerfile -t merge-reasoner-sandbox .
#   docker build ... --build-arg BASE_IMAGE=python:3.13-slim --build-arg PACKAGES="numpy==2.3.5"
#
# `python -m verifiers.sandbox.docker_image` does the same without a registry: it makes the base of the running Python.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS build
ARG PACKAGES=""
ENV PATH=/python/bin:/usr/local/bin:/usr/bin:/bin
COPY verifiers/sandbox/inside /runtime/verifiers/sandbox/inside
# In exec form: a base without a shell will do.
RUN ["python3", "-c", "import os, subprocess, sys; p = os.environ.get('PACKAGES', '').split(); p and subprocess.run([sys.executable, '-m', 'pip', 'install', '--no-cache-dir', *p], check=True)"]
# Shipped compiled, or each container would do it again. Of the tools only those stay that a Python program needs: none.
RUN ["python3", "-c", "import compileall, glob, os, shutil; compileall.compile_dir('/runtime', quiet=1, invalidation_mode=__import__('py_compile').PycInvalidationMode.UNCHECKED_HASH); keep = ('python', 'ld'); [os.remove(f) for d in ('/bin', '/sbin', '/usr/bin', '/usr/sbin') for f in glob.glob(d + '/*') if os.path.isfile(f) and not os.path.basename(f).startswith(keep)]; [shutil.rmtree(d, ignore_errors=True) for d in ('/var/lib/apt', '/var/lib/dpkg', '/usr/share', '/root')]; os.chmod('/tmp', 0o1777)"]

FROM scratch
COPY --from=build / /
ARG RUNTIME_DIGEST=""
LABEL merge-reasoner.runtime=${RUNTIME_DIGEST}
ENV PATH=/python/bin:/usr/local/bin:/usr/bin:/bin LD_LIBRARY_PATH=/lib PYTHONPATH=/runtime PYTHONHASHSEED=0 \
    HOME=/tmp MALLOC_ARENA_MAX=2 PYTHONUTF8=1 PYTHONIOENCODING=utf-8:backslashreplace
WORKDIR /tmp
ENTRYPOINT ["python3", "-s", "-P", "-B"]
