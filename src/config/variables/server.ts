import { resolve } from "node:path";
import { address, HTTP, integer, names, oneOf, origins, secret, secretUrl, text, url } from "../parsers.ts";
import type { Rows } from "../rows.ts";

export const storage = {
  databaseUrl: {
    env: "DATABASE_URL",
    doc: "postgres://user:password@host:5432/name. Unset: an embedded PostgreSQL in DATA_DIR.",
    parse: secretUrl("postgres:", "postgresql:"),
    secret: true,
  },
  databasePoolMax: {
    env: "DATABASE_POOL_MAX",
    default: "10",
    doc: "PostgreSQL connections of one process, not counting those of the queue.",
    parse: integer(2, 1000),
  },
  redisUrl: {
    env: "REDIS_URL",
    doc: "redis://host:6379/0 for the job queue. Unset: the queue is in PostgreSQL.",
    parse: secretUrl("redis:", "rediss:"),
    secret: true,
  },
  /** An absolute path. */
  dataDir: {
    env: "DATA_DIR",
    default: "./data",
    doc: "Folder of the embedded database, the local issuer's key, repositories and checkouts.",
    parse: (value: string) => resolve(value),
  },
} as const satisfies Rows;

export const http = {
  port: {
    env: "PORT",
    alias: "ROCKET_PORT",
    default: "8000",
    doc: "Port of the HTTP server.",
    parse: integer(0, 65_535),
  },
  host: {
    env: "HOST",
    alias: "ROCKET_ADDRESS",
    doc: "Address of the HTTP server. Unset: 127.0.0.1 with the embedded database, else 0.0.0.0.",
    parse: address,
  },
  publicUrl: {
    env: "PUBLIC_URL",
    doc: "Where people reach the service, e.g. https://agents.example.com: the name of this deployment in the provenance of commits, and what pull requests link to. Unset: there the id of its key, here no link.",
    parse: url(...HTTP),
  },
} as const satisfies Rows;

export const authentication = {
  auth: {
    mode: {
      env: "AUTH_MODE",
      doc: "oidc, local or none. Unset: oidc if KEYCLOAK_ISSUER is set, else local (on loopback addresses only).",
      parse: oneOf("oidc", "local", "none"),
    },
    issuer: {
      env: "KEYCLOAK_ISSUER",
      doc: "Issuer URL of Keycloak or another OIDC provider, e.g. https://sso.example.com/realms/main.",
      parse: url(...HTTP),
    },
    jwksUri: {
      env: "KEYCLOAK_JWKS_URI",
      doc: "URL of the issuer's keys. Unset: taken from the issuer's discovery document.",
      parse: url(...HTTP),
    },
    audience: {
      env: "AUTH_AUDIENCE",
      default: "prompt-backend",
      doc: "Audience that tokens must have.",
      parse: text,
    },
    /** Compared without regard to case. */
    tokenTypes: {
      env: "AUTH_TOKEN_TYPES",
      default: "Bearer,JWT,at+jwt",
      doc: "Values of typ, in a token's header and claims, that access tokens may have, separated by commas. A token without typ is accepted; ID, refresh and logout tokens never are.",
      parse: names,
    },
    authorizedParties: {
      env: "AUTH_AUTHORIZED_PARTIES",
      doc: "Clients (azp or client_id) whose tokens are accepted, separated by commas. Unset: all clients of the issuer.",
      parse: names,
    },
    client: {
      id: {
        env: "OIDC_CLIENT_ID",
        doc: "Client at KEYCLOAK_ISSUER with which browsers sign in to the web console; its redirect URI is <URL of the service>/auth/callback. Unset: they do not.",
        parse: text,
      },
      secret: {
        env: "OIDC_CLIENT_SECRET",
        doc: "Secret of that client, if it is a confidential one.",
        parse: secret(),
        secret: true,
      },
      scopes: {
        env: "OIDC_SCOPES",
        default: "profile,email",
        doc: "Scopes that a sign-in asks for besides openid, separated by commas. Some issuers need offline_access here, or their sign-ins end with the first token.",
        parse: names,
      },
      discoveryUrl: {
        env: "OIDC_DISCOVERY_URL",
        doc: "URL of the issuer's discovery document, where the service cannot reach it at KEYCLOAK_ISSUER. Unset: KEYCLOAK_ISSUER/.well-known/openid-configuration.",
        parse: url(...HTTP),
      },
    },
  },
} as const satisfies Rows;

export const access = {
  corsOrigins: {
    env: "CORS_ORIGINS",
    doc: "Origins of web UIs, separated by commas. Without OIDC, loopback origins are always allowed.",
    parse: origins,
  },
  /** 0: no limit. */
  rateLimitPerMinute: {
    env: "RATE_LIMIT_PER_MINUTE",
    default: "6000",
    doc: "Requests of one user per minute; above it the reply is 429. 0: no limit. Unused with AUTH_MODE=none.",
    parse: integer(0, 1_000_000_000),
  },
  /** 0: no limit. */
  rateLimitAddressPerMinute: {
    env: "RATE_LIMIT_ADDRESS_PER_MINUTE",
    default: "600",
    doc: "Requests without a valid token of one address per minute; above it the reply is 429. 0: no limit.",
    parse: integer(0, 1_000_000_000),
  },
  maxUnfinishedPrompts: {
    env: "MAX_UNFINISHED_PROMPTS",
    default: "1000",
    doc: "Prompts of one user that may be queued or running; above it the reply is 429.",
    parse: integer(1, 1_000_000),
  },
  /** The number of proxies in front; with 0, X-Forwarded-For and X-Forwarded-Proto are ignored. */
  trustedProxyHops: {
    env: "TRUSTED_PROXY_HOPS",
    default: "0",
    doc: "Number of proxies in front of the service. 0: X-Forwarded-For and X-Forwarded-Proto are ignored.",
    parse: integer(0, 10),
  },
} as const satisfies Rows;

/** What the service makes of finished work on its host. */
export const pullRequests = {
  pullRequests: {
    mode: {
      env: "PR_MODE",
      default: "manual",
      doc: "When pull requests are made. manual: when a user asks. draft, auto: also at the end of each run that has pushed its branch, as a draft or ready for review.",
      parse: oneOf("manual", "draft", "auto"),
    },
    archiveWhen: {
      env: "ARCHIVE_MERGED",
      default: "never",
      doc: "Whether a session is archived once its pull request is seen to have ended: never, merged, or closed (also without a merge).",
      parse: oneOf("never", "merged", "closed"),
    },
    merge: {
      env: "MERGE",
      default: "on",
      doc: "Whether users may merge through the service (POST /sessions/{id}/merge): on, or off. It merges with the host's credential, also for users who may not merge there themselves.",
      parse: oneOf("on", "off"),
    },
    labels: {
      env: "PR_LABELS",
      doc: "Labels of pull requests, separated by commas.",
      parse: names,
    },
    reviewers: {
      env: "PR_REVIEWERS",
      doc: "Who is asked to review pull requests, by their names on the host, separated by commas.",
      parse: names,
    },
  },
} as const satisfies Rows;

export const webhooks = {
  /** Undefined: webhooks are disabled. */
  webhookSecret: {
    env: "WEBHOOK_SECRET",
    doc: "Signing key or bearer token of POST /webhook/return, at least 16 characters. Unset: webhooks are disabled.",
    parse: secret(16),
    secret: true,
  },
  /** Undefined: webhooks of git hosts are disabled. */
  forgeWebhookSecret: {
    env: "FORGE_WEBHOOK_SECRET",
    doc: "Secret of the webhooks of GitHub, GitLab, Gitea and Forgejo to POST /webhook/forge, at least 16 characters. Unset: they are disabled.",
    parse: secret(16),
    secret: true,
  },
  railway: {
    apiKey: {
      env: "RAILWAY_API_KEY",
      doc: "Railway key, to redeploy RAILWAY_DEPLOYMENT_ID when a borrowed sandbox is returned.",
      parse: secret(),
      secret: true,
    },
    deploymentId: {
      env: "RAILWAY_DEPLOYMENT_ID",
      doc: "Deployment that is redeployed when a borrowed sandbox is returned.",
      parse: text,
    },
    apiUrl: {
      env: "RAILWAY_API_URL",
      default: "https://backboard.railway.com/graphql/v2",
      doc: "Railway's GraphQL API.",
      parse: url(...HTTP),
    },
  },
} as const satisfies Rows;
