# edgekit on a CPU, in a folder of yours:
#   docker build -t edgekit .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" edgekit build lite0 --data photos
# Pip reads these, for torch's builds for CPUs alone: docker build --build-arg PIP_EXTRA_INDEX_URL=…
FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.11-slim
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
# Of ssh and adb, for devices; edgekit has its own client of the former.
RUN apt-get update && apt-get install -y --no-install-recommends adb && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(ls /wheels/*.whl)[openvino,onnx]" && rm -r /wheels
# Who is named by --user has no home.
ENV EDGEKIT_CACHE=/tmp/edgekit
RUN useradd --create-home --uid 1000 edgekit
USER edgekit
WORKDIR /work
ENTRYPOINT ["edgekit"]
CMD ["--help"]
