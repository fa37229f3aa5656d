ALTER TABLE "session" ADD COLUMN "prompts_version" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
-- By hand from here: whoever writes, listeners hear of each change that `prompt_version` counts, and of no other write.
CREATE FUNCTION prompt_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "session" SET prompts_version = prompts_version + 1 WHERE id = coalesce(NEW.session_id, OLD.session_id);
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE TRIGGER prompt_inserted AFTER INSERT ON "prompt" FOR EACH ROW EXECUTE FUNCTION prompt_after();--> statement-breakpoint
CREATE TRIGGER prompt_updated AFTER UPDATE ON "prompt" FOR EACH ROW
  WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION prompt_after();--> statement-breakpoint
CREATE TRIGGER prompt_deleted AFTER DELETE ON "prompt" FOR EACH ROW EXECUTE FUNCTION prompt_after();
