CREATE TABLE "user_turn" (
	"user_id" text PRIMARY KEY NOT NULL,
	"running" integer DEFAULT 0 NOT NULL,
	"started_at" timestamp (3) with time zone,
	"ready" boolean DEFAULT true NOT NULL,
	"due_at" timestamp (3) with time zone
);
--> statement-breakpoint
DROP INDEX "prompt_due";--> statement-breakpoint
DROP INDEX "prompt_user_due";--> statement-breakpoint
CREATE INDEX "user_turn_next" ON "user_turn" USING btree ("running","started_at" NULLS FIRST,"user_id") WHERE "user_turn"."ready";--> statement-breakpoint
CREATE INDEX "user_turn_due" ON "user_turn" USING btree ("due_at") WHERE not "user_turn"."ready" and "user_turn"."due_at" is not null;--> statement-breakpoint
CREATE INDEX "prompt_turn" ON "prompt" USING btree ("user_id","priority" DESC NULLS FIRST,"created_at","seq") WHERE "prompt"."status" = 'Queued' and "prompt"."not_before" is null;--> statement-breakpoint
CREATE INDEX "prompt_user_later" ON "prompt" USING btree ("user_id","not_before") WHERE "prompt"."status" = 'Queued' and "prompt"."not_before" is not null;--> statement-breakpoint
CREATE INDEX "prompt_since" ON "prompt" USING btree (greatest("created_at", "not_before")) WHERE "prompt"."status" = 'Queued';--> statement-breakpoint
CREATE INDEX "prompt_running" ON "prompt" USING btree ("user_id") WHERE "prompt"."status" = 'Running' and "prompt"."waiting_for" is null;--> statement-breakpoint
-- By hand from here: whoever writes, the rows of the users are what a recount of their prompts gives.
-- Nothing is locked exclusively where a prompt is added for a user who is ready: such transactions do not wait for each other.
CREATE FUNCTION user_turn_change(whose text, change integer, started timestamp with time zone) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF change = 0 AND started IS NULL THEN
    PERFORM 1 FROM "user_turn" t WHERE t.user_id = whose AND t.ready FOR KEY SHARE;
  ELSE
    UPDATE "user_turn" t SET running = greatest(t.running + change, 0), ready = true, due_at = null,
      started_at = greatest(t.started_at, started) WHERE t.user_id = whose;
  END IF;
  IF NOT FOUND THEN
    INSERT INTO "user_turn" AS t (user_id, running, started_at)
    VALUES (whose, greatest(change, 0), (SELECT p.started_at FROM "prompt" p
      WHERE p.user_id = whose AND p.started_at IS NOT NULL ORDER BY p.started_at DESC NULLS LAST LIMIT 1))
    ON CONFLICT (user_id) DO UPDATE SET running = greatest(t.running + change, 0), ready = true, due_at = null,
      started_at = greatest(t.started_at, started);
  END IF;
END $$;--> statement-breakpoint
-- By user, so that two transactions do not wait for each other crosswise.
CREATE FUNCTION prompt_user_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM user_turn_change(a.user_id, a.change, a.started) FROM (
    SELECT n.user_id, (count(*) FILTER (WHERE n.status = 'Running' AND n.waiting_for IS NULL))::integer AS change,
      max(n.started_at) AS started
    FROM added n WHERE n.status IN ('Queued', 'Running') GROUP BY n.user_id ORDER BY n.user_id) a;
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE FUNCTION prompt_user_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  change integer := -(OLD.status = 'Running' AND OLD.waiting_for IS NULL)::integer;
  started timestamp with time zone;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.user_id <> NEW.user_id THEN
      PERFORM user_turn_change(OLD.user_id, change, NULL);
      change := 0;
      started := NEW.started_at;
    END IF;
    change := change + (NEW.status = 'Running' AND NEW.waiting_for IS NULL)::integer;
    IF OLD.started_at IS DISTINCT FROM NEW.started_at THEN started := NEW.started_at; END IF;
    PERFORM user_turn_change(NEW.user_id, change, started);
    RETURN NULL;
  END IF;
  IF OLD.status IN ('Queued', 'Running') THEN PERFORM user_turn_change(OLD.user_id, change, NULL); END IF;
  UPDATE "user_turn" t SET started_at = (SELECT p.started_at FROM "prompt" p
    WHERE p.user_id = t.user_id AND p.started_at IS NOT NULL ORDER BY p.started_at DESC NULLS LAST LIMIT 1)
  WHERE t.user_id = OLD.user_id AND t.started_at <= OLD.started_at;
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE TRIGGER prompt_user_inserted AFTER INSERT ON "prompt" REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION prompt_user_added();--> statement-breakpoint
-- At the end of the transaction, when it locks nothing more: a user's row is the last lock, and is held only for the commit.
CREATE CONSTRAINT TRIGGER prompt_user_updated AFTER UPDATE ON "prompt" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN ((OLD.user_id, OLD.status, OLD.not_before, OLD.waiting_for, OLD.started_at)
    IS DISTINCT FROM (NEW.user_id, NEW.status, NEW.not_before, NEW.waiting_for, NEW.started_at))
  EXECUTE FUNCTION prompt_user_changed();--> statement-breakpoint
CREATE CONSTRAINT TRIGGER prompt_user_deleted AFTER DELETE ON "prompt" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (OLD.status IN ('Queued', 'Running') OR OLD.started_at IS NOT NULL) EXECUTE FUNCTION prompt_user_changed();--> statement-breakpoint
INSERT INTO "user_turn" (user_id, running, started_at)
SELECT u.user_id, u.running, (SELECT p.started_at FROM "prompt" p
    WHERE p.user_id = u.user_id AND p.started_at IS NOT NULL ORDER BY p.started_at DESC NULLS LAST LIMIT 1)
FROM (SELECT user_id, count(*) FILTER (WHERE status = 'Running' AND waiting_for IS NULL) AS running
  FROM "prompt" WHERE status IN ('Queued', 'Running') GROUP BY user_id) u;
