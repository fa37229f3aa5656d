CREATE TABLE "idempotency_key" (
	"user_id" text NOT NULL,
	"key" text NOT NULL,
	"fingerprint" text NOT NULL,
	"response" jsonb NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "idempotency_key_user_id_key_pk" PRIMARY KEY("user_id","key")
);
--> statement-breakpoint
CREATE TABLE "request_limit" (
	"key" text PRIMARY KEY NOT NULL,
	"points" integer DEFAULT 0 NOT NULL,
	"expire" bigint
);
--> statement-breakpoint
CREATE TABLE "task_heartbeat" (
	"task" text NOT NULL,
	"process" text NOT NULL,
	"host" text NOT NULL,
	"beaten_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "task_heartbeat_task_process_pk" PRIMARY KEY("task","process")
);
--> statement-breakpoint
ALTER TABLE "dead_letter_queue" ADD COLUMN "user_id" text;--> statement-breakpoint
ALTER TABLE "dead_letter_queue" ADD COLUMN "kind" text DEFAULT 'poison' NOT NULL;--> statement-breakpoint
ALTER TABLE "dead_letter_queue" ADD COLUMN "resolved_by" text;--> statement-breakpoint
ALTER TABLE "dead_letter_queue" ADD COLUMN "resolved_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "user_id" text;--> statement-breakpoint
UPDATE "prompt" SET "user_id" = "session"."user_id" FROM "session" WHERE "session"."id" = "prompt"."session_id";--> statement-breakpoint
ALTER TABLE "prompt" ALTER COLUMN "user_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "priority" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "not_before" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "error_kind" text;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "process" jsonb;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "output_offset" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "version" bigint DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "messages_version" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "version" bigint DEFAULT 1 NOT NULL;--> statement-breakpoint
CREATE INDEX "idempotency_key_created" ON "idempotency_key" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "dead_letter_user" ON "dead_letter_queue" USING btree ("user_id","status","created_at");--> statement-breakpoint
CREATE INDEX "outbox_published" ON "outbox" USING btree ("published_at") WHERE "outbox"."published_at" is not null;--> statement-breakpoint
CREATE INDEX "prompt_user_unfinished" ON "prompt" USING btree ("user_id","status") WHERE "prompt"."status" in ('Queued', 'Running');--> statement-breakpoint
CREATE INDEX "prompt_user_started" ON "prompt" USING btree ("user_id","started_at" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "session_user_version" ON "session" USING btree ("user_id","version") WHERE "session"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "session_user_repo" ON "session" USING btree ("user_id","repo","created_at","id") WHERE "session"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "session_deleted" ON "session" USING btree ("deleted_at") WHERE "session"."deleted_at" is not null;--> statement-breakpoint
ALTER TABLE "dead_letter_queue" ADD CONSTRAINT "dead_letter_kind" CHECK ("dead_letter_queue"."kind" in ('transient', 'agent', 'configuration', 'poison', 'interrupted', 'limit'));--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_error_kind" CHECK ("prompt"."error_kind" in ('transient', 'agent', 'configuration', 'poison', 'interrupted', 'limit'));--> statement-breakpoint
-- By hand from here: whoever writes, validators grow and listeners hear of it.
CREATE FUNCTION session_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $$;--> statement-breakpoint
CREATE TRIGGER session_version BEFORE UPDATE ON "session" FOR EACH ROW EXECUTE FUNCTION session_before();--> statement-breakpoint
CREATE FUNCTION session_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- A payload has room for 8,000 bytes; whoever listens compares the beginning of a longer user id.
  PERFORM pg_notify('session_changed', NEW.id::text || ' ' || NEW.message_seq::text || ' ' || left(NEW.user_id, 1000));
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE TRIGGER session_changed AFTER INSERT OR UPDATE ON "session" FOR EACH ROW EXECUTE FUNCTION session_after();--> statement-breakpoint
CREATE FUNCTION prompt_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $$;--> statement-breakpoint
CREATE TRIGGER prompt_version BEFORE UPDATE ON "prompt" FOR EACH ROW
  WHEN ((OLD.data, OLD.priority, OLD.status, OLD.attempt, OLD.error, OLD.error_kind, OLD.usage, OLD.started_at, OLD.finished_at)
    IS DISTINCT FROM (NEW.data, NEW.priority, NEW.status, NEW.attempt, NEW.error, NEW.error_kind, NEW.usage, NEW.started_at, NEW.finished_at))
  EXECUTE FUNCTION prompt_before();--> statement-breakpoint
CREATE FUNCTION message_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "prompt" SET messages_version = messages_version + 1 WHERE id IN (SELECT prompt_id FROM changed);
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE TRIGGER message_inserted AFTER INSERT ON "message" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION message_after();--> statement-breakpoint
CREATE TRIGGER message_updated AFTER UPDATE ON "message" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION message_after();--> statement-breakpoint
CREATE TRIGGER message_deleted AFTER DELETE ON "message" REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION message_after();
