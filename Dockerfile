# docker build -t fm . && docker run --rm fm status; to train: -v "$PWD/runs:/runs" -v "$PWD/build:/fm/build" -e FM_RUNS_DIR=/runs; --build-arg TORCH= for GPUs
FROM python:3.12-slim
ARG TORCH=cpu
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /fm
COPY . .
RUN git config --system --add safe.directory /fm && make setup TORCH=$TORCH
ENV PATH="/fm/.venv/bin:$PATH" FM_DATA_DIR=/data
ENTRYPOINT ["fm"]
