# Everything but the tests: all pipelines of run.py, MLflow and ZenML. What runs make goes to /workspace, which is to be
# mounted. With CUDA: --build-arg EXTRAS=gpu, on a machine with NVIDIA's container toolkit.
#
#   docker build --file deploy/training.Dockerfile --tag clip-har:training .
#   docker run --rm --volume clip-har:/workspace clip-har:training --pipeline train \
#       --set workspace.path=/workspace --set paths.outputs=/workspace/outputs
#
# Exact tags, as in cpu.Dockerfile.
ARG PYTHON=3.11.14
ARG DEBIAN=bookworm

FROM python:${PYTHON}-${DEBIAN} AS build
WORKDIR /workspace
WORKDIR /app
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY src/clip_har/__init__.py src/clip_har/__init__.py
ARG EXTRAS=cpu
RUN make setup EXTRAS=${EXTRAS}
COPY src src
RUN make compile

FROM python:${PYTHON}-slim-${DEBIAN}
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY --from=build /app/src src
COPY --from=build --chown=10001:10001 /workspace /workspace
COPY constraints.txt pyproject.toml run.py ./
COPY configs configs
COPY materializers materializers
COPY pipelines pipelines
COPY stacks stacks
COPY steps steps
# USER: the number has no name here, and ZenML asks for one
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    USER=clip-har \
    XDG_CACHE_HOME=/workspace/cache
USER 10001:10001
# a job has no port to ask; its exit code says how it went
HEALTHCHECK NONE
ENTRYPOINT ["python", "run.py"]
CMD ["--pipeline", "train", "--config", "configs/sample.yaml", "--set", "workspace.path=/workspace", "--set", "paths.outputs=/workspace/outputs"]
