import { sql } from "drizzle-orm";
import { bigint, index, integer, jsonb, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import { at, id } from "./columns.ts";
import { prompt, session } from "./tables.ts";

/** What the agents of a run asked for on the network, by host and port. */
export const egressRequest = pgTable(
  "egress_request",
  {
    id: id(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    promptId: uuid("prompt_id")
      .notNull()
      .references(() => prompt.id, { onDelete: "cascade" }),
    host: text("host").notNull(),
    port: integer("port").notNull(),
    decision: text("decision", { enum: ["allowed", "refused"] }).notNull(),
    /** What decided: an entry of EGRESS_ALLOW, or the reason for a refusal. */
    rule: text("rule").notNull(),
    count: bigint("count", { mode: "number" }).notNull(),
    firstAt: at("first_at").notNull(),
    lastAt: at("last_at").notNull(),
  },
  (t) => [
    uniqueIndex("egress_request_target").on(t.promptId, t.host, t.port, t.decision),
    index("egress_request_session").on(t.sessionId, t.id),
    // What was refused of late, by whatever session: GET /system/status.
    index("egress_request_refused").on(t.lastAt).where(sql`${t.decision} = 'refused'`),
  ],
);

/** What was signed at the end of runs that made commits. Nothing changes it. */
export const provenance = pgTable(
  "provenance",
  {
    id: id(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    promptId: uuid("prompt_id")
      .notNull()
      .references(() => prompt.id, { onDelete: "cascade" }),
    /** Of the key that signed it. */
    keyId: text("key_id").notNull(),
    /** The text of a DSSE envelope. */
    envelope: text("envelope").notNull(),
  },
  (t) => [index("provenance_session").on(t.sessionId), index("provenance_prompt").on(t.promptId)],
);

/** The columns of an entry of the audit log. */
const auditColumns = () => ({
  at: at("at").notNull().defaultNow(),
  /** A user's id, or the name of a part of the service. */
  actor: text("actor").notNull(),
  /** Such as session.create. */
  action: text("action").notNull(),
  /** What it was done to, such as session:<id>. */
  target: text("target").notNull(),
  detail: jsonb("detail").$type<Record<string, unknown>>().notNull().default({}),
});

/** Entries on their way into the log, in the order of their transactions' beginnings, not of their ends. */
export const auditPending = pgTable("audit_pending", {
  id: bigint("id", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  ...auditColumns(),
});

/** Who did what. Triggers keep it append-only; each hash covers its row and the hash before it. */
export const auditEvent = pgTable(
  "audit_event",
  {
    /** Without gaps, in the order of sealing: whoever has read up to a number misses nothing. */
    seq: bigint("seq", { mode: "number" }).primaryKey(),
    ...auditColumns(),
    /** Hexadecimal SHA-256. */
    hash: text("hash").notNull(),
  },
  (t) => [
    index("audit_event_at").on(t.at),
    index("audit_event_actor").on(t.actor, t.seq),
    index("audit_event_action").on(t.action, t.seq),
  ],
);

/** Where the chain begins after each purge: the last entry that was purged. */
export const auditAnchor = pgTable("audit_anchor", {
  seq: bigint("seq", { mode: "number" }).primaryKey(),
  hash: text("hash").notNull(),
  at: at("at").notNull().defaultNow(),
});

/** Signatures of webhook deliveries that were accepted, for as long as they could be replayed. */
export const webhookSignature = pgTable(
  "webhook_signature",
  {
    /** Hexadecimal SHA-256 of the signature. */
    hash: text("hash").primaryKey(),
    seenAt: at("seen_at").notNull().defaultNow(),
  },
  (t) => [index("webhook_signature_seen").on(t.seenAt)],
);

/** Tickets for event streams that nobody has used yet. */
export const eventTicket = pgTable(
  "event_ticket",
  {
    /** Hexadecimal SHA-256 of the ticket. */
    hash: text("hash").primaryKey(),
    userId: text("user_id").notNull(),
    /** When the token expires that it was created with; null: never. The stream ends with it. */
    tokenExpiresAt: at("token_expires_at"),
    /** Of the key that signed that token; null without an issuer. */
    keyFingerprint: text("key_fingerprint"),
    /** The web session that it was created in; null: with a token. The stream ends with it. */
    webSession: text("web_session"),
    expiresAt: at("expires_at").notNull(),
  },
  (t) => [index("event_ticket_user").on(t.userId), index("event_ticket_expires").on(t.expiresAt)],
);
