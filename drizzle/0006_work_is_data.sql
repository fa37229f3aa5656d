CREATE TABLE "unpushed_work" (
	"session_id" uuid PRIMARY KEY NOT NULL,
	"commit" text NOT NULL,
	"bundle" jsonb NOT NULL,
	"stored_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "kind" text DEFAULT 'agent' NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "commit" text;--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "start_commit" text;--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "conversation_id" uuid;--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "earlier_cost_usd" double precision DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "unpushed_work" ADD CONSTRAINT "unpushed_work_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_kind" CHECK ("prompt"."kind" in ('agent', 'push'));--> statement-breakpoint
-- By hand from here.
DROP TRIGGER prompt_version ON "prompt";--> statement-breakpoint
CREATE TRIGGER prompt_version BEFORE UPDATE ON "prompt" FOR EACH ROW
  WHEN ((OLD.data, OLD.priority, OLD.status, OLD.attempt, OLD.error, OLD.error_kind, OLD.usage, OLD.memory, OLD.memory_reason, OLD.commit, OLD.redone, OLD.started_at, OLD.finished_at)
    IS DISTINCT FROM (NEW.data, NEW.priority, NEW.status, NEW.attempt, NEW.error, NEW.error_kind, NEW.usage, NEW.memory, NEW.memory_reason, NEW.commit, NEW.redone, NEW.started_at, NEW.finished_at))
  EXECUTE FUNCTION prompt_before();
