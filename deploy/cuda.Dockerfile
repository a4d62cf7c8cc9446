# The service on an NVIDIA GPU: ONNX Runtime's CUDA provider and TensorRT engines, which are built at the first start on a
# card and kept in the cache (XDG_CACHE_HOME: mount something there that lasts). The CUDA libraries come as wheels with
# torch, onnxruntime-gpu and tensorrt; the driver comes from the host, through NVIDIA's container toolkit.
#
#   docker build --file deploy/cuda.Dockerfile --tag clip-har:cuda .
#   docker run --gpus all …
#
# Exact tags, as in cpu.Dockerfile.
ARG PYTHON=3.11.14
ARG DEBIAN=bookworm

FROM python:${PYTHON}-${DEBIAN} AS build
WORKDIR /cache
WORKDIR /workspace
WORKDIR /app
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY src/clip_har/__init__.py src/clip_har/__init__.py
RUN make setup EXTRAS=serving-gpu
COPY src src
RUN make compile

FROM python:${PYTHON}-slim-${DEBIAN}
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY --from=build /app/src src
COPY --from=build --chown=10001:10001 /workspace /workspace
COPY --from=build --chown=10001:10001 /cache /cache
# where wheels put CUDA's libraries, for those that look for them by name: CUDA 13 in one folder, CUDA 12 in several
ARG PACKAGES=/app/.venv/lib/python3.11/site-packages
ENV PATH=/app/.venv/bin:$PATH \
    LD_LIBRARY_PATH=${PACKAGES}/nvidia/cu13/lib:${PACKAGES}/nvidia/cudnn/lib:${PACKAGES}/nvidia/cublas/lib:${PACKAGES}/nvidia/cuda_runtime/lib:${PACKAGES}/nvidia/cuda_nvrtc/lib:${PACKAGES}/nvidia/cufft/lib:${PACKAGES}/nvidia/curand/lib:${PACKAGES}/tensorrt_libs \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/cache \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    CLIP_HAR_WORKSPACE=/workspace \
    CLIP_HAR_SERVING__HOST=0.0.0.0
USER 10001:10001
EXPOSE 3000 3001
# a first start builds engines, which takes minutes
HEALTHCHECK --interval=10s --timeout=3s --start-period=600s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "clip_har.serving"]
