ALTER TABLE "prompt" ADD COLUMN "waiting_for" text;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "outage" jsonb;--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "waiting" jsonb;--> statement-breakpoint
CREATE INDEX "prompt_due" ON "prompt" USING btree ("not_before","user_id") WHERE "prompt"."status" = 'Queued';--> statement-breakpoint
CREATE INDEX "prompt_user_due" ON "prompt" USING btree ("user_id","not_before") WHERE "prompt"."status" = 'Queued';--> statement-breakpoint
CREATE INDEX "session_waiting" ON "session" USING btree ("id") WHERE "session"."waiting" is not null;--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_waiting_for" CHECK ("prompt"."waiting_for" in ('git_host', 'model', 'sandbox', 'database', 'disk', 'isolation'));--> statement-breakpoint
-- By hand from here.
DROP TRIGGER prompt_version ON "prompt";--> statement-breakpoint
CREATE TRIGGER prompt_version BEFORE UPDATE ON "prompt" FOR EACH ROW
  WHEN ((OLD.data, OLD.priority, OLD.status, OLD.attempt, OLD.error, OLD.error_kind, OLD.usage, OLD.memory, OLD.memory_reason, OLD.commit, OLD.redone, OLD.waiting_for, OLD.not_before, OLD.started_at, OLD.finished_at)
    IS DISTINCT FROM (NEW.data, NEW.priority, NEW.status, NEW.attempt, NEW.error, NEW.error_kind, NEW.usage, NEW.memory, NEW.memory_reason, NEW.commit, NEW.redone, NEW.waiting_for, NEW.not_before, NEW.started_at, NEW.finished_at))
  EXECUTE FUNCTION prompt_before();
