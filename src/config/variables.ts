/** Every variable: its default as text (undefined: unset) and one line for .env.example and --help. */
export const VARIABLES = {
  DATABASE_URL: [
    undefined,
    "postgres://user:password@host:5432/name. Unset: an embedded PostgreSQL in DATA_DIR.",
  ],
  DATABASE_POOL_MAX: [
    "10",
    "Connections to PostgreSQL that one process keeps for its own queries (the queue has its own).",
  ],
  REDIS_URL: [
    undefined,
    "redis://host:6379/0 for the job queue. Unset: the queue lives in the same PostgreSQL.",
  ],
  DATA_DIR: [
    "./data",
    "Embedded database, the local issuer's key, repositories and checkouts. One process at a time when embedded.",
  ],
  PORT: ["8000", "Port to listen on. ROCKET_PORT is an alias."],
  ROCKET_PORT: [undefined, "The original service's name for PORT."],
  HOST: [
    undefined,
    "Address to bind. Unset: 127.0.0.1 with the embedded database, else 0.0.0.0. ROCKET_ADDRESS is an alias.",
  ],
  ROCKET_ADDRESS: [undefined, "The original service's name for HOST."],
  AUTH_MODE: [
    undefined,
    "oidc, local or none. Unset: oidc when KEYCLOAK_ISSUER is set, else local (loopback only).",
  ],
  KEYCLOAK_ISSUER: [
    undefined,
    "Issuer URL of Keycloak or any OIDC provider, e.g. https://sso.example.com/realms/main.",
  ],
  KEYCLOAK_JWKS_URI: [
    undefined,
    "Where the issuer's keys are. Unset: asked from the issuer's discovery document.",
  ],
  AUTH_AUDIENCE: ["prompt-backend", "The audience that a token must name."],
  ANTHROPIC_API_KEY: [
    undefined,
    "Key for Claude: runs the claude agent and writes better titles. Never given to a sandbox.",
  ],
  ANTHROPIC_BASE_URL: ["https://api.anthropic.com", "Base URL of the Messages API."],
  TITLE_MODEL: ["claude-haiku-4-5", "Model that writes session titles (only with ANTHROPIC_API_KEY)."],
  GITHUB_TOKEN: [
    undefined,
    "Token for cloning and pushing at GITHUB_URL. Only git itself sees it, never a sandbox.",
  ],
  GITHUB_URL: ["https://github.com", "Where repositories written as owner/name are."],
  AGENT: [
    undefined,
    "claude, command or demo. Unset: claude where its program and ANTHROPIC_API_KEY are there, else demo.",
  ],
  AGENT_COMMAND: [
    undefined,
    'For AGENT=command: a JSON array, program and arguments, e.g. ["my-agent","--json"]. The prompt comes on stdin.',
  ],
  SANDBOX_PROVIDER: [
    "local",
    "local: checkouts and agents on this machine. allocator: sandboxes borrowed at IP_ALLOCATOR_URL.",
  ],
  IP_ALLOCATOR_URL: [
    undefined,
    "Base URL of the allocator that lends sandboxes (SANDBOX_PROVIDER=allocator).",
  ],
  CLAUDE_PATH: [undefined, "The Claude Code program. Unset: `claude` on PATH."],
  CLAUDE_MODEL: [undefined, "Model that the claude agent uses. Unset: the program's own default."],
  WORKER_CONCURRENCY: ["4", "Prompts that one process runs at a time (1 to 256)."],
  MAX_RUNNING_PROMPTS: ["1000", "Prompts that run at a time in the whole cluster (1 to 100000)."],
  MAX_RUNNING_PER_USER: ["20", "Prompts of one user that run at a time in the whole cluster (1 to 100000)."],
  RUN_TIMEOUT_MINUTES: ["60", "Wall-clock limit of one run; past it the run ends as failed."],
  RUN_SILENCE_MINUTES: [
    "15",
    "A run whose agent neither prints nor uses the processor for so long ends as failed; 0: never.",
  ],
  MIN_FREE_DISK_MB: [
    "512",
    "Free space in DATA_DIR below which no run starts; below half of it, running ones are ended and start over later; 0: no limit.",
  ],
  CHECKOUT_DISK_MB: [
    "0",
    "Space that all checkouts of DATA_DIR may have when another run starts; 0: no limit. Finished ones are removed at once.",
  ],
  METRICS_TOKEN: [undefined, "Bearer token that /metrics asks for. Unset: whoever reaches it may read it."],
  METRICS_PORT: [
    undefined,
    "Shows /metrics and /health on a port of their own, which is the only way for processes without a server.",
  ],
  GIT_AUTHOR_NAME: ["prompt-backend", "Author of the commit of what an agent left uncommitted."],
  GIT_AUTHOR_EMAIL: ["prompt-backend@localhost", "That author's address."],
  CORS_ORIGINS: [
    undefined,
    "Origins of web UIs, separated by commas. In local modes loopback origins are always allowed.",
  ],
  RATE_LIMIT_PER_MINUTE: [
    "6000",
    "Requests of one user in a minute; more are refused with 429. 0: no limit. Not counted with AUTH_MODE=none.",
  ],
  RATE_LIMIT_ADDRESS_PER_MINUTE: [
    "600",
    "The same for requests from one address that show no token, or not a good one. 0: no limit.",
  ],
  MAX_UNFINISHED_PROMPTS: ["1000", "Prompts of one user that may wait or run; more are refused with 429."],
  WEBHOOK_SECRET: [
    undefined,
    "What POST /webhook/return is signed with, or shows as its bearer token (16 characters at least). Unset: closed.",
  ],
  RAILWAY_API_KEY: [
    undefined,
    "With RAILWAY_DEPLOYMENT_ID: that deployment is deployed again when a lent sandbox has been returned.",
  ],
  RAILWAY_DEPLOYMENT_ID: [undefined, "The deployment that a return deploys again."],
  RAILWAY_API_URL: ["https://backboard.railway.com/graphql/v2", "Railway's GraphQL API."],
  TRUSTED_PROXY_HOPS: [
    "0",
    "Proxies in front of this service. Unless 0, X-Forwarded-For and X-Forwarded-Proto are believed.",
  ],
  RETENTION_DELETED_DAYS: [
    "30",
    "Days after which a deleted session is removed for good, with all that belongs to it. 0: never.",
  ],
  RETENTION_EVENTS_DAYS: [
    "90",
    "Days after the end of a prompt when its agent's events are removed; the conversation stays. 0: never.",
  ],
  LOG_LEVEL: ["info", "debug, info, warn, error or silent."],
  SHUTDOWN_TIMEOUT_SECONDS: [
    "30",
    "With --handover=stop: how long SIGTERM waits for running prompts before they are handed over.",
  ],
} as const satisfies Record<string, readonly [string | undefined, string]>;

export type VariableName = keyof typeof VARIABLES;
