-- First, because it waits for all who have changed prompts, and they lock rows of user_turn at their commit.
DROP TRIGGER prompt_user_updated ON "prompt";--> statement-breakpoint
CREATE TABLE "agent_turn" (
	"user_id" text NOT NULL,
	"agent" text NOT NULL,
	"running" integer NOT NULL,
	"started_at" timestamp (3) with time zone,
	"due_at" timestamp (3) with time zone,
	CONSTRAINT "agent_turn_user_id_agent_pk" PRIMARY KEY("user_id","agent")
);
--> statement-breakpoint
ALTER TABLE "agent_turn" ADD CONSTRAINT "agent_turn_user_id_user_turn_user_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."user_turn"("user_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "agent_turn_next" ON "agent_turn" USING btree ("agent","running","started_at" NULLS FIRST,"user_id") WHERE "agent_turn"."due_at" is null;--> statement-breakpoint
CREATE INDEX "agent_turn_due" ON "agent_turn" USING btree ("due_at") WHERE "agent_turn"."due_at" is not null;--> statement-breakpoint
-- By hand from here: the functions of 0023, with the agent of whom a prompt may now be able to start (null: of none). What changes
-- rows of agent_turn, so that claims see less or other ones, has locked the user's row before.
CREATE FUNCTION agent_turn_copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "agent_turn" a SET running = NEW.running, started_at = NEW.started_at WHERE a.user_id = NEW.user_id
    AND (a.running, a.started_at) IS DISTINCT FROM (NEW.running, NEW.started_at);
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE TRIGGER user_turn_updated AFTER UPDATE OF running, started_at ON "user_turn"
  FOR EACH ROW EXECUTE FUNCTION agent_turn_copy();--> statement-breakpoint
DROP FUNCTION user_turn_change(text, integer, timestamp with time zone);--> statement-breakpoint
-- The row of the agent is looked at when the user's is locked: who clears it has locked that, too.
CREATE FUNCTION user_turn_change(whose text, change integer, started timestamp with time zone, able text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF change = 0 AND started IS NULL THEN
    PERFORM 1 FROM "user_turn" t WHERE t.user_id = whose AND t.ready FOR KEY SHARE;
    IF FOUND THEN
      PERFORM 1 WHERE able IS NULL OR EXISTS (
        SELECT 1 FROM "agent_turn" a WHERE a.user_id = whose AND a.agent = able AND a.due_at IS NULL);
      IF FOUND THEN RETURN; END IF;
    END IF;
  END IF;
  UPDATE "user_turn" t SET running = greatest(t.running + change, 0), ready = true, due_at = null,
    started_at = greatest(t.started_at, started) WHERE t.user_id = whose;
  IF NOT FOUND THEN
    INSERT INTO "user_turn" AS t (user_id, running, started_at)
    VALUES (whose, greatest(change, 0), (SELECT p.started_at FROM "prompt" p
      WHERE p.user_id = whose AND p.started_at IS NOT NULL ORDER BY p.started_at DESC NULLS LAST LIMIT 1))
    ON CONFLICT (user_id) DO UPDATE SET running = greatest(t.running + change, 0), ready = true, due_at = null,
      started_at = greatest(t.started_at, started);
  END IF;
  IF able IS NOT NULL THEN
    INSERT INTO "agent_turn" (user_id, agent, running, started_at)
    SELECT t.user_id, able, t.running, t.started_at FROM "user_turn" t WHERE t.user_id = whose
    ON CONFLICT (user_id, agent) DO UPDATE SET due_at = null;
  END IF;
END $$;--> statement-breakpoint
-- By user, so that two transactions do not wait for each other crosswise.
CREATE OR REPLACE FUNCTION prompt_user_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM user_turn_change(a.user_id, a.change, a.started, a.able) FROM (
    SELECT n.user_id, CASE WHEN n.status = 'Queued' THEN coalesce(n.agent, '') END AS able,
      (count(*) FILTER (WHERE n.status = 'Running' AND n.waiting_for IS NULL))::integer AS change,
      max(n.started_at) AS started
    FROM added n WHERE n.status IN ('Queued', 'Running') GROUP BY 1, 2 ORDER BY 1, 2) a;
  RETURN NULL;
END $$;--> statement-breakpoint
-- Of a prompt that does not run, or no longer: its session's next, or else its own agent, whose claims then delete the rows of a user
-- who has no other prompt.
CREATE FUNCTION able_in_session(whose uuid, own text) RETURNS text LANGUAGE sql AS $$
  SELECT coalesce((SELECT coalesce(p.agent, '') FROM "prompt" p
    WHERE p.session_id = whose AND p.status = 'Queued' ORDER BY p.seq LIMIT 1), own, '');
$$;--> statement-breakpoint
CREATE OR REPLACE FUNCTION prompt_user_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  change integer := -(OLD.status = 'Running' AND OLD.waiting_for IS NULL)::integer;
  started timestamp with time zone;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.user_id <> NEW.user_id THEN
      PERFORM user_turn_change(OLD.user_id, change, NULL, coalesce(OLD.agent, ''));
      change := 0;
      started := NEW.started_at;
    END IF;
    change := change + (NEW.status = 'Running' AND NEW.waiting_for IS NULL)::integer;
    IF OLD.started_at IS DISTINCT FROM NEW.started_at THEN started := NEW.started_at; END IF;
    PERFORM user_turn_change(NEW.user_id, change, started,
      CASE WHEN NEW.status <> 'Running' THEN able_in_session(NEW.session_id, NEW.agent) END);
    RETURN NULL;
  END IF;
  IF OLD.status IN ('Queued', 'Running') THEN
    PERFORM user_turn_change(OLD.user_id, change, NULL, able_in_session(OLD.session_id, OLD.agent));
  END IF;
  UPDATE "user_turn" t SET started_at = (SELECT p.started_at FROM "prompt" p
    WHERE p.user_id = t.user_id AND p.started_at IS NOT NULL ORDER BY p.started_at DESC NULLS LAST LIMIT 1)
  WHERE t.user_id = OLD.user_id AND t.started_at <= OLD.started_at;
  RETURN NULL;
END $$;--> statement-breakpoint
-- At the end of the transaction, when it locks nothing more: a user's rows are the last locks, and are held only for the commit.
CREATE CONSTRAINT TRIGGER prompt_user_updated AFTER UPDATE ON "prompt" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN ((OLD.user_id, OLD.status, OLD.not_before, OLD.waiting_for, OLD.started_at, OLD.agent)
    IS DISTINCT FROM (NEW.user_id, NEW.status, NEW.not_before, NEW.waiting_for, NEW.started_at, NEW.agent))
  EXECUTE FUNCTION prompt_user_changed();--> statement-breakpoint
INSERT INTO "agent_turn" (user_id, agent, running, started_at, due_at)
SELECT t.user_id, p.agent, t.running, t.started_at, p.due_at FROM "user_turn" t JOIN (
  SELECT user_id, coalesce(agent, '') AS agent,
    CASE WHEN bool_and(not_before > now()) THEN min(not_before) END AS due_at
  FROM "prompt" WHERE status = 'Queued' GROUP BY 1, 2) p ON p.user_id = t.user_id;
