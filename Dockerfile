# syntax=docker/dockerfile:1

# --- The one executable -------------------------------------------------------------------------------------------
FROM oven/bun:1.4.5 AS build
WORKDIR /src
COPY package.json bun.lock bunfig.toml ./
# What the executable is made of; no linters, and nobody's install scripts.
RUN bun install --frozen-lockfile --production --ignore-scripts
COPY tsconfig.json ./
COPY .ci/build.ts .ci/
COPY drizzle drizzle
COPY src src
RUN bun .ci/build.ts --outfile /prompt-backend

# --- What runs ----------------------------------------------------------------------------------------------------
FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="prompt-backend" \
      org.opencontainers.image.description="A self-hosted backend for coding-agent sessions: a prompt goes in, a branch comes out." \
      org.opencontainers.image.licenses="MIT"

# The service handles its own signals; tini is here for what agents leave behind: somebody must reap their orphans.
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap ca-certificates git tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --shell /usr/sbin/nologin app \
 && install -d -o app -g app -m 0700 /data
COPY --from=build /prompt-backend /usr/local/bin/prompt-backend

# Bubblewrap makes a user namespace and mounts in it. Docker's default seccomp and AppArmor profiles forbid that, and
# its masked /proc forbids a fresh one. Where you want a sandbox INSIDE the container (several users, untrusted
# repositories), run the worker with
#   --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined
# which weakens the container itself in exchange. Without them the container is the only wall around an agent: give it
# nothing that an agent must not have. Never answer this with --privileged.
#
# Claude Code is not in this image. Make one FROM this with it installed, or mount it and set CLAUDE_PATH.
USER app
WORKDIR /data
# All addresses of the container: so an issuer, or AUTH_MODE=local on purpose, is required to start.
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=8000
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

# No curl needed. A worker answers on METRICS_PORT: give it the same number as PORT, as docker-compose.yml does.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["bash", "-c", \
  "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /health HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["tini", "--", "prompt-backend"]
