CREATE TABLE "audit_anchor" (
	"seq" bigint PRIMARY KEY NOT NULL,
	"hash" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_event" (
	"seq" bigint PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"actor" text NOT NULL,
	"action" text NOT NULL,
	"target" text NOT NULL,
	"detail" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"hash" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_pending" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "audit_pending_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"actor" text NOT NULL,
	"action" text NOT NULL,
	"target" text NOT NULL,
	"detail" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "egress_request" (
	"id" uuid PRIMARY KEY NOT NULL,
	"session_id" uuid NOT NULL,
	"prompt_id" uuid NOT NULL,
	"host" text NOT NULL,
	"port" integer NOT NULL,
	"decision" text NOT NULL,
	"rule" text NOT NULL,
	"count" bigint NOT NULL,
	"first_at" timestamp (3) with time zone NOT NULL,
	"last_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "webhook_signature" (
	"hash" text PRIMARY KEY NOT NULL,
	"seen_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "uncounted_claims" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "pushed_commit" text;--> statement-breakpoint
ALTER TABLE "egress_request" ADD CONSTRAINT "egress_request_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "egress_request" ADD CONSTRAINT "egress_request_prompt_id_prompt_id_fk" FOREIGN KEY ("prompt_id") REFERENCES "public"."prompt"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_event_at" ON "audit_event" USING btree ("at");--> statement-breakpoint
CREATE INDEX "audit_event_actor" ON "audit_event" USING btree ("actor","seq");--> statement-breakpoint
CREATE INDEX "audit_event_action" ON "audit_event" USING btree ("action","seq");--> statement-breakpoint
CREATE UNIQUE INDEX "egress_request_target" ON "egress_request" USING btree ("prompt_id","host","port","decision");--> statement-breakpoint
CREATE INDEX "egress_request_session" ON "egress_request" USING btree ("session_id","id");--> statement-breakpoint
CREATE INDEX "webhook_signature_seen" ON "webhook_signature" USING btree ("seen_at");--> statement-breakpoint
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Retention alone deletes: what is older than a day, and only after it has left an anchor for the chain.
  IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_event' THEN
    IF OLD.at < now() - interval '1 day' AND OLD.seq <= (SELECT max(seq) FROM "audit_anchor") THEN
      RETURN OLD;
    END IF;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END $$;--> statement-breakpoint
CREATE FUNCTION audit_pending_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Entries leave only into the chain, with the same statement: they are then its newest.
  IF EXISTS (
    SELECT at, actor, action, target, detail FROM gone
    EXCEPT ALL
    SELECT at, actor, action, target, detail FROM "audit_event"
    WHERE seq > (SELECT max(seq) FROM "audit_event") - (SELECT count(*) FROM gone)
  ) THEN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE TRIGGER audit_event_kept BEFORE UPDATE OR DELETE ON "audit_event" FOR EACH ROW EXECUTE FUNCTION audit_append_only();--> statement-breakpoint
CREATE TRIGGER audit_event_not_emptied BEFORE TRUNCATE ON "audit_event" FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();--> statement-breakpoint
CREATE TRIGGER audit_pending_kept BEFORE UPDATE ON "audit_pending" FOR EACH ROW EXECUTE FUNCTION audit_append_only();--> statement-breakpoint
CREATE TRIGGER audit_pending_only_sealed AFTER DELETE ON "audit_pending" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_pending_sealed();--> statement-breakpoint
CREATE TRIGGER audit_pending_not_emptied BEFORE TRUNCATE ON "audit_pending" FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();--> statement-breakpoint
CREATE TRIGGER audit_anchor_kept BEFORE UPDATE OR DELETE ON "audit_anchor" FOR EACH ROW EXECUTE FUNCTION audit_append_only();--> statement-breakpoint
CREATE TRIGGER audit_anchor_not_emptied BEFORE TRUNCATE ON "audit_anchor" FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
--> statement-breakpoint
-- Sessions that have pushed already. What was pushed is known from the service's own note, which is the last message of a
-- prompt that completed: no agent can have written after it. A short id is enough, for git itself knows what it means.
UPDATE "session" s SET "pushed_commit" = pushed.tip FROM (
  SELECT DISTINCT ON (p.session_id) p.session_id, note.found[1] AS branch, note.found[2] AS tip
  FROM "prompt" p, LATERAL (
    SELECT regexp_match(last.data #>> '{message,content,0,text}',
      '(?:^|\n)Branch (\S+) \((?:1 commit|[0-9]+ commits), tip ([0-9a-f]{7,40})\) was pushed to \S+\.$') AS found
    FROM (SELECT m.data FROM "message" m WHERE m.prompt_id = p.id ORDER BY m.seq DESC LIMIT 1) last
  ) note
  WHERE p.status = 'Completed' AND note.found IS NOT NULL
  ORDER BY p.session_id, p.seq DESC
) pushed WHERE s.id = pushed.session_id AND s.branch = pushed.branch;
