-- By hand: prompts that are there already do not begin to wait at the time of the migration.
ALTER TABLE "prompt" ADD COLUMN "phases" jsonb DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ALTER COLUMN "phases" SET DEFAULT jsonb_build_array(jsonb_build_object('name', 'queued', 'started_at', now()::timestamptz(3)));--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "isolation" jsonb;--> statement-breakpoint
DROP TRIGGER prompt_version ON "prompt";--> statement-breakpoint
CREATE TRIGGER prompt_version BEFORE UPDATE ON "prompt" FOR EACH ROW
  WHEN ((OLD.data, OLD.priority, OLD.status, OLD.attempt, OLD.error, OLD.error_kind, OLD.usage, OLD.memory, OLD.memory_reason, OLD.commit, OLD.redone, OLD.waiting_for, OLD.not_before, OLD.phases, OLD.isolation, OLD.started_at, OLD.finished_at)
    IS DISTINCT FROM (NEW.data, NEW.priority, NEW.status, NEW.attempt, NEW.error, NEW.error_kind, NEW.usage, NEW.memory, NEW.memory_reason, NEW.commit, NEW.redone, NEW.waiting_for, NEW.not_before, NEW.phases, NEW.isolation, NEW.started_at, NEW.finished_at))
  EXECUTE FUNCTION prompt_before();
