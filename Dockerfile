# An image that serves an index, and that runs every other command: docs/docker.md explains it.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
# Packages beside the service: object stores and databases as sources.
ARG EXTRAS=serve,cloud,adbc
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY grammar grammar
COPY audience audience
RUN python -m venv /opt/audience \
    && /opt/audience/bin/pip install --no-cache-dir --disable-pip-version-check ".[${EXTRAS}]"

FROM python:${PYTHON}-slim
COPY --from=build /opt/audience /opt/audience
RUN useradd --uid 10001 --create-home audience \
    && install -d -o audience -g audience -m 700 /data /var/cache/audience
ENV PATH=/opt/audience/bin:$PATH AUDIENCE_CACHE_DIR=/var/cache/audience
# By number: whoever starts it can see that it is not root, as Kubernetes does with runAsNonRoot.
USER 10001
WORKDIR /data
EXPOSE 8780
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8780/healthz', timeout=4)"]
ENTRYPOINT ["audience"]
CMD ["serve", "/data/devices.index", "--host", "0.0.0.0", "--keys", "/data/keys.json"]
