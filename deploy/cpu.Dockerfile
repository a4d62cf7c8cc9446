# The service on a CPU: REST on 3000, gRPC on 3001, without torch. The model is not in it: a workspace is mounted, whose
# champion is followed, or CLIP_HAR_BUNDLE names a bundle. (An image with its model inside: `bentoml containerize`.)
#
#   docker build --file deploy/cpu.Dockerfile --tag clip-har:cpu .
#
# Exact tags, since no registry could be asked for digests where this was written; docs/service-deployment.md says how to
# pin them.
ARG PYTHON=3.11.14
ARG DEBIAN=bookworm

FROM python:${PYTHON}-${DEBIAN} AS build
WORKDIR /workspace
WORKDIR /app
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
# the rest of the source comes later: a change there installs nothing anew
COPY src/clip_har/__init__.py src/clip_har/__init__.py
RUN make setup EXTRAS=serving-cpu
COPY src src
RUN make compile

FROM python:${PYTHON}-slim-${DEBIAN}
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY --from=build /app/src src
COPY --from=build --chown=10001:10001 /workspace /workspace
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    CLIP_HAR_WORKSPACE=/workspace \
    CLIP_HAR_SERVING__HOST=0.0.0.0
USER 10001:10001
EXPOSE 3000 3001
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "clip_har.serving"]
