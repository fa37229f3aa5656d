import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import { at, EFFECT_KINDS, EFFECT_STATUSES, id, oneOf, PULL_REQUEST_STATES, times } from "./columns.ts";
import type { EffectRequest, EffectResult, KeptCheck, KeptReview } from "./json-columns.ts";
import { session } from "./tables.ts";

/**
 * What the service does outside of itself for a session, written down before and after: so that after a crash it is neither
 * forgotten nor done twice.
 */
export const effect = pgTable(
  "effect",
  {
    id: id(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    kind: text("kind", { enum: EFFECT_KINDS }).notNull(),
    /** What it changes: a repository and a branch, such as https://github.com/owner/name#prompt/fix. */
    target: text("target").notNull(),
    /** Tells it from others of its kind on the same target: the same intent twice is one effect. */
    key: text("key").notNull(),
    status: text("status", { enum: EFFECT_STATUSES }).notNull(),
    request: jsonb("request").$type<EffectRequest>().notNull(),
    result: jsonb("result").$type<EffectResult>(),
    /** Grows with each attempt: whoever writes its result compares it. */
    attempts: integer("attempts").notNull().default(0),
    /** When the effect-runner tries it next, or takes it over. Null: it has ended, or is a run's own. */
    dueAt: at("due_at"),
    /** Until when its runner is at it. Null: nobody's. */
    leaseUntil: at("lease_until"),
    /** Of a run's: the prompt, and the epoch of its lease, by which one sees whether the run is still at it. */
    promptId: uuid("prompt_id"),
    leaseEpoch: bigint("lease_epoch", { mode: "number" }),
    ...times(),
  },
  (t) => [
    check("effect_kind", oneOf(t.kind, EFFECT_KINDS)),
    check("effect_status", oneOf(t.status, EFFECT_STATUSES)),
    uniqueIndex("effect_key").on(t.sessionId, t.kind, t.key, t.target),
    index("effect_session").on(t.sessionId, t.id),
    index("effect_due").on(t.dueAt).where(sql`${t.dueAt} is not null`),
    // For the metrics: what has ended is not counted.
    index("effect_unfinished").on(t.kind, t.status).where(sql`${t.status} in ('intended', 'uncertain')`),
  ],
);

/** The session's pull request, as its host showed it last. */
export const pullRequest = pgTable(
  "pull_request",
  {
    sessionId: uuid("session_id")
      .primaryKey()
      .references(() => session.id, { onDelete: "cascade" }),
    /** What made it, or found it. */
    effectId: uuid("effect_id").notNull(),
    number: integer("number").notNull(),
    url: text("url").notNull(),
    title: text("title").notNull(),
    state: text("state", { enum: PULL_REQUEST_STATES }).notNull(),
    draft: boolean("draft").notNull(),
    base: text("base").notNull(),
    /** The last commit that was seen at its head. */
    head: text("head"),
    mergeable: boolean("mergeable"),
    checks: jsonb("checks").$type<readonly KeptCheck[]>(),
    reviews: jsonb("reviews").$type<readonly KeptReview[]>(),
    readAt: at("read_at").notNull().defaultNow(),
    /** When the effect-runner reads it again, because its host has said that it changed. Null: it has not. */
    lookAt: at("look_at"),
    /** By the host's clock. */
    createdAt: at("created_at").notNull(),
  },
  (t) => [
    index("pull_request_url").on(t.url.op("text_pattern_ops")),
    // All of one repository, whose URL theirs begin with.
    index("pull_request_open_url").on(t.url.op("text_pattern_ops")).where(sql`${t.state} = 'open'`),
    index("pull_request_look").on(t.lookAt).where(sql`${t.lookAt} is not null`),
  ],
);
