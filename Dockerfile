# wigwag with its providers for Redis, NATS and Kafka: docs/operations/container.md says how to run it, and how an image
# with an application of your own is made of it. tests/test_image.py runs the steps of the stage "build" as they stand here.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY requirements/image.txt requirements/image-build.txt requirements/
# All that is fetched has its hash, and nothing is resolved. nkeys has no wheel; it is Python alone.
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-deps --only-binary=:all: --require-hashes --requirement requirements/image-build.txt \
    && /opt/build/bin/pip wheel --no-deps --only-binary=:all: --no-binary=nkeys --no-build-isolation --require-hashes \
        --requirement requirements/image.txt --wheel-dir /opt/wheels
COPY core core
COPY providers providers
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheels \
        ./core ./providers/redis ./providers/nats ./providers/kafka \
    && python -m venv --without-pip /opt/wigwag \
    && /opt/build/bin/pip --python /opt/wigwag/bin/python install --no-deps --no-index /opt/wheels/*.whl \
    && /opt/build/bin/pip --python /opt/wigwag/bin/python check

FROM ${BASE}
# Nothing is installed into what runs.
RUN python -m pip uninstall --yes --root-user-action=ignore pip \
    && rm -rf /usr/local/lib/python3*/ensurepip
COPY --from=build /opt/wigwag /opt/wigwag
ENV PATH=/opt/wigwag/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WIGWAG_LISTEN=:8000 \
    WIGWAG_INTERNAL_LISTEN=:9000
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="wigwag" \
      org.opencontainers.image.description="Delivers a message, once, to every WebSocket that asked for its topic" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
# A number, so that Kubernetes can see that it is not root's.
USER 10001:10001
EXPOSE 8000 9000
# The broker is none of its business: /livez says that the process answers.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/opt/wigwag/bin/python", "-IS", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['WIGWAG_INTERNAL_LISTEN'].rpartition(':')[2]), timeout=2); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["wigwag"]
CMD ["serve"]
