# syntax=docker/dockerfile:1

# --- Build -------------------------------------------------------------------------------------------
FROM oven/bun:1.4.5 AS build
WORKDIR /src
COPY package.json bun.lock bunfig.toml ./
COPY patches patches
# Runtime dependencies only, without install scripts.
RUN bun install --frozen-lockfile --production --ignore-scripts
# The web console is made of the SDK, which is generated from the OpenAPI document by a toolchain of its own.
COPY sdk/package.json sdk/bun.lock sdk/
RUN bun install --cwd sdk --frozen-lockfile --ignore-scripts
COPY tsconfig.json ./
COPY .ci .ci
COPY drizzle drizzle
COPY sdk/generate.ts sdk/
COPY sdk/src sdk/src
COPY src src
RUN bun .ci/build.ts --outfile /prompt-backend

# --- Runtime image ----------------------------------------------------------------------------------------------------
FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="prompt-backend" \
      org.opencontainers.image.description="A self-hosted backend for coding-agent sessions: a prompt goes in, a branch comes out." \
      org.opencontainers.image.licenses="MIT"

# The service handles its own signals. tini reaps the orphans that agents leave behind.
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap ca-certificates git git-lfs socat tini util-linux \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --shell /usr/sbin/nologin app \
 && install -d -o app -g app -m 0700 /data
COPY --from=build /prompt-backend /usr/local/bin/prompt-backend

# Bubblewrap creates a user namespace and mounts file systems in it. Docker's default seccomp and AppArmor profiles forbid
# that, and its masked /proc prevents mounting a new one. Without these options prompts wait, and /health/ready says why:
#   --security-opt seccomp=deploy/seccomp/prompt-backend.json --security-opt apparmor=unconfined
#   --security-opt systempaths=unconfined
# docker-compose.yml sets them. No capability is needed; do not use --privileged instead.
#
# Claude Code is not in this image. Build an image FROM this one with it, or mount it and set CLAUDE_PATH.
USER app
WORKDIR /data
# Listens on all addresses of the container, so it starts only with an issuer or an explicit AUTH_MODE=local.
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=8000
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

# Works without curl. A worker answers on METRICS_PORT: set PORT to the same number, like docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["bash", "-c", \
  "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /health HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["tini", "--", "prompt-backend"]
