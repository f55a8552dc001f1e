# edgekit on a CPU: docker build -t edgekit . && docker run --rm -v "$PWD:/work" edgekit build lite0 --data photos
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.12-slim
# Of ssh and adb, for devices; edgekit has its own client of the former.
RUN apt-get update && apt-get install -y --no-install-recommends adb && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(ls /wheels/*.whl)[openvino,onnx]" && rm -r /wheels
# Whoever runs it names a user of theirs: docker run --user "$(id -u)".
ENV EDGEKIT_CACHE=/tmp/edgekit
WORKDIR /work
ENTRYPOINT ["edgekit"]
CMD ["--help"]
