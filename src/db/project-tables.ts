import {
  bigint,
  check,
  doublePrecision,
  index,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import { at, bytes, id, oneOf, RUN_MODES, times } from "./columns.ts";
import { prompt } from "./tables.ts";

export const PULL_REQUEST_MODES = ["manual", "draft", "auto"] as const;
export type PullRequestMode = (typeof PULL_REQUEST_MODES)[number];

/** What a repository needs, as one user has said it: for all of that user's sessions of the repository. */
export const project = pgTable(
  "project",
  {
    id: id(),
    userId: text("user_id").notNull(),
    /** As its user wrote it. */
    repo: text("repo").notNull(),
    /** The same for all spellings of the repository (see projects/repo-key.ts). */
    repoKey: text("repo_key").notNull(),
    instructions: text("instructions").notNull().default(""),
    setupCommand: text("setup_command").notNull().default(""),
    environment: jsonb("environment").$type<Record<string, string>>().notNull().default({}),
    mcpServers: jsonb("mcp_servers").$type<Record<string, unknown>>().notNull().default({}),
    egressHosts: jsonb("egress_hosts").$type<string[]>().notNull().default([]),
    agent: text("agent"),
    model: text("model"),
    mode: text("mode", { enum: RUN_MODES }),
    budgetUsd: doublePrecision("budget_usd"),
    /** Null: as the deployment does (PR_MODE). */
    pullRequest: text("pull_request", { enum: PULL_REQUEST_MODES }),
    /** Incremented with each change, of its secrets, too: runs record which one they had. */
    version: bigint("version", { mode: "number" }).notNull().default(1),
    ...times(),
  },
  (t) => [
    check("project_mode", oneOf(t.mode, RUN_MODES)),
    check("project_pull_request", oneOf(t.pullRequest, PULL_REQUEST_MODES)),
    uniqueIndex("project_user_repo").on(t.userId, t.repoKey),
    index("project_user").on(t.userId, t.id),
  ],
);

/** A project's secrets, sealed (see projects/keys.ts): nothing in the database opens them. */
export const projectSecret = pgTable(
  "project_secret",
  {
    projectId: uuid("project_id")
      .notNull()
      .references(() => project.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    sealed: bytes("sealed").notNull(),
    /** Of the key that sealed it. */
    keyId: text("key_id").notNull(),
    updatedAt: at("updated_at").notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.projectId, t.name] }), index("project_secret_key").on(t.keyId)],
);

/**
 * The secrets that runs were given, sealed as they were in the project then: an agent keeps its variables when the project is
 * changed or deleted, and whoever watches it next must know what to replace. Until the prompt has ended.
 */
export const runSecret = pgTable(
  "run_secret",
  {
    promptId: uuid("prompt_id")
      .notNull()
      .references(() => prompt.id, { onDelete: "cascade" }),
    projectId: uuid("project_id").notNull(),
    /** Of the project. */
    version: bigint("version", { mode: "number" }).notNull(),
    name: text("name").notNull(),
    sealed: bytes("sealed").notNull(),
    keyId: text("key_id").notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.promptId, t.projectId, t.version, t.name] }),
    index("run_secret_key").on(t.keyId),
  ],
);
