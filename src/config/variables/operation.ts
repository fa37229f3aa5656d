import { LOG_LEVELS } from "../../observability/logger.ts";
import { integer, oneOf, sealingKeys, secret, signingKey } from "../parsers.ts";
import type { Rows } from "../rows.ts";

export const operation = {
  logLevel: {
    env: "LOG_LEVEL",
    default: "info",
    doc: "debug, info, warn, error or silent.",
    parse: oneOf(...LOG_LEVELS),
  },
  /** Undefined: that of DATA_DIR. */
  provenanceKey: {
    env: "PROVENANCE_KEY",
    doc: "Ed25519 private key (PEM, PKCS#8) that signs the provenance of commits; `openssl genpkey -algorithm ed25519` makes one. Unset: provenance.key in DATA_DIR, made when a worker first starts. Several machines need one key.",
    parse: signingKey,
    secret: true,
  },
  /** The first one seals, all of them open. Undefined: that of DATA_DIR. */
  secretsKeys: {
    env: "SECRETS_KEY",
    doc: "Key that seals the secrets of projects, 32 bytes in base64; `openssl rand -base64 32` makes one. Several, separated by commas: the first one seals, all of them open. Unset: secrets.key in DATA_DIR, made with the first secret. Several machines need one key.",
    parse: sealingKeys,
    secret: true,
  },
  /** Undefined: /metrics needs no token. */
  metricsToken: {
    env: "METRICS_TOKEN",
    doc: "Bearer token for /metrics. Unset: no token is needed.",
    parse: secret(),
    secret: true,
  },
  /** Undefined: only the API's server has /metrics. */
  metricsPort: {
    env: "METRICS_PORT",
    doc: "Port for /metrics and /health alone; processes without an HTTP server have no other. Unset: none.",
    parse: integer(0, 65_535),
  },
  retention: {
    /** Days from a session's deletion to its purge; 0: never. */
    deletedDays: {
      env: "RETENTION_DELETED_DAYS",
      default: "30",
      doc: "Days after which a deleted session and everything that belongs to it is purged. 0: never.",
      parse: integer(0, 36_500),
    },
    /** Days from the end of a prompt to the purge of its agent's events; the conversation stays. 0: never. */
    eventsDays: {
      env: "RETENTION_EVENTS_DAYS",
      default: "90",
      doc: "Days after the end of a prompt until its agent's events are purged; the conversation stays. 0: never.",
      parse: integer(0, 36_500),
    },
    /** Days that what an agent remembered after a prompt is kept for forks; 0: for ever. */
    memoryDays: {
      env: "RETENTION_MEMORY_DAYS",
      default: "30",
      doc: "Days after which what an agent remembered at the end of a prompt is purged, except the session's newest. 0: never.",
      parse: integer(0, 36_500),
    },
    /** Days that single model calls are kept; their sums are for ever. 0: for ever. */
    modelCallsDays: {
      env: "RETENTION_MODEL_CALLS_DAYS",
      default: "90",
      doc: "Days after which single model calls are purged; the sums of GET /usage stay. 0: never.",
      parse: integer(0, 36_500),
    },
    /** Days that entries of the audit log are kept; 0: for ever. */
    auditDays: {
      env: "RETENTION_AUDIT_DAYS",
      default: "365",
      doc: "Days after which entries of the audit log are purged. 0: never.",
      parse: integer(0, 36_500),
    },
  },
  shutdownTimeoutMs: {
    env: "SHUTDOWN_TIMEOUT_SECONDS",
    default: "30",
    doc: "With --handover=stop: how long a shutdown waits for running prompts before it hands them over.",
    parse: integer(0, 3600, 1000),
  },
} as const satisfies Rows;
