CREATE TABLE "model_api" (
	"api" text PRIMARY KEY NOT NULL,
	"open" integer DEFAULT 0 NOT NULL,
	"back_off_until" timestamp (3) with time zone,
	"overloads" integer DEFAULT 0 NOT NULL,
	"allowed" integer
);
--> statement-breakpoint
CREATE TABLE "model_call" (
	"id" uuid PRIMARY KEY NOT NULL,
	"prompt_id" uuid,
	"epoch" bigint DEFAULT 0 NOT NULL,
	"session_id" uuid NOT NULL,
	"user_id" text NOT NULL,
	"repo" text NOT NULL,
	"agent" text NOT NULL,
	"api" text NOT NULL,
	"model" text NOT NULL,
	"status" text DEFAULT 'open' NOT NULL,
	"http_status" integer,
	"reserved" bigint DEFAULT 0 NOT NULL,
	"cost" bigint DEFAULT 0 NOT NULL,
	"input_tokens" bigint DEFAULT 0 NOT NULL,
	"output_tokens" bigint DEFAULT 0 NOT NULL,
	"cache_read_tokens" bigint DEFAULT 0 NOT NULL,
	"cache_write_tokens" bigint DEFAULT 0 NOT NULL,
	"cache_write_1h_tokens" bigint DEFAULT 0 NOT NULL,
	"web_searches" bigint DEFAULT 0 NOT NULL,
	"estimated" boolean DEFAULT false NOT NULL,
	"input_estimate" bigint DEFAULT 0 NOT NULL,
	"conversation" text DEFAULT '' NOT NULL,
	"first_output_ms" integer,
	"duration_ms" integer,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"ended_at" timestamp (3) with time zone,
	CONSTRAINT "model_call_status" CHECK ("model_call"."status" in ('open', 'done', 'failed', 'broken', 'lost'))
);
--> statement-breakpoint
CREATE TABLE "model_turn" (
	"api" text NOT NULL,
	"user_id" text NOT NULL,
	"since" timestamp with time zone NOT NULL,
	"until" timestamp with time zone NOT NULL,
	CONSTRAINT "model_turn_api_user_id_pk" PRIMARY KEY("api","user_id")
);
--> statement-breakpoint
CREATE TABLE "model_usage" (
	"day" date NOT NULL,
	"user_id" text NOT NULL,
	"session_id" uuid NOT NULL,
	"prompt_id" uuid NOT NULL,
	"repo" text NOT NULL,
	"agent" text NOT NULL,
	"model" text NOT NULL,
	"calls" bigint DEFAULT 0 NOT NULL,
	"turns" bigint DEFAULT 0 NOT NULL,
	"estimated_calls" bigint DEFAULT 0 NOT NULL,
	"input_tokens" bigint DEFAULT 0 NOT NULL,
	"output_tokens" bigint DEFAULT 0 NOT NULL,
	"cache_read_tokens" bigint DEFAULT 0 NOT NULL,
	"cache_write_tokens" bigint DEFAULT 0 NOT NULL,
	"cache_write_1h_tokens" bigint DEFAULT 0 NOT NULL,
	"web_searches" bigint DEFAULT 0 NOT NULL,
	"cost" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "model_usage_prompt_id_day_model_pk" PRIMARY KEY("prompt_id","day","model")
);
--> statement-breakpoint
CREATE TABLE "spend" (
	"scope" text NOT NULL,
	"subject" text NOT NULL,
	"period" date NOT NULL,
	"spent" bigint DEFAULT 0 NOT NULL,
	"reserved" bigint DEFAULT 0 NOT NULL,
	"calls" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "spend_scope_subject_period_pk" PRIMARY KEY("scope","subject","period")
);
--> statement-breakpoint
ALTER TABLE "prompt" DROP CONSTRAINT "prompt_waiting_for";--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "budget" bigint;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "suspended" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX "model_call_open" ON "model_call" USING btree ("started_at") WHERE "model_call"."status" = 'open';--> statement-breakpoint
CREATE INDEX "model_call_session" ON "model_call" USING btree ("session_id","id");--> statement-breakpoint
CREATE INDEX "model_call_started" ON "model_call" USING btree ("started_at");--> statement-breakpoint
CREATE INDEX "model_usage_user" ON "model_usage" USING btree ("user_id","day");--> statement-breakpoint
CREATE INDEX "model_usage_day" ON "model_usage" USING btree ("day");--> statement-breakpoint
CREATE INDEX "model_usage_session" ON "model_usage" USING btree ("session_id");--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_waiting_for" CHECK ("prompt"."waiting_for" in ('git_host', 'model', 'sandbox', 'database', 'machine', 'disk', 'isolation', 'agent', 'permission', 'budget'));--> statement-breakpoint
-- By hand from here. All that changes budgets does it under one lock, for the time of a statement that takes all the calls of a
-- process that wait for it: no call is decided beside another, and nobody waits crosswise.
CREATE FUNCTION lock_spend() RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(7105206820001);
$$;--> statement-breakpoint
-- What a call counts in.
CREATE FUNCTION spend_scopes(day date, whose text, in_session uuid, in_prompt uuid)
RETURNS TABLE (scope text, subject text, period date) LANGUAGE sql IMMUTABLE AS $$
  SELECT * FROM (VALUES
    ('run', in_prompt::text, DATE '1970-01-01'),
    ('session', in_session::text, DATE '1970-01-01'),
    ('user_day', whose, day),
    ('user_month', whose, date_trunc('month', day::timestamp)::date),
    ('deployment_day', '', day)) s (scope, subject, period) WHERE s.subject IS NOT NULL;
$$;--> statement-breakpoint
-- Reserves what each of the calls may cost in all of its budgets, or in none of them, and writes it down. What is refused says
-- why: busy (and until when, or null: until another call has ended), held by other calls, ended, calls, or the scope whose budget
-- cannot have it.
CREATE FUNCTION reserve_model_calls(wanted jsonb)
RETURNS TABLE (id uuid, refused text, until timestamp with time zone, most bigint, spent bigint, reserved bigint)
LANGUAGE plpgsql AS $$
DECLARE
  c record;
  s record;
  its "spend";
  its_api "model_api";
  today date := (now() AT TIME ZONE 'utc')::date;
  -- Usually nobody waits, and nothing more is looked up.
  in_turns boolean;
  waits_since timestamp with time zone;
  before integer;
BEGIN
  PERFORM lock_spend();
  in_turns := EXISTS (SELECT FROM "model_turn" t WHERE t.until > clock_timestamp());
  FOR c IN SELECT w.* FROM jsonb_to_recordset(wanted) AS w (id uuid, prompt uuid, epoch bigint, session uuid, "user" text,
      repo text, agent text, api text, model text, amount bigint, input bigint, conversation text, limits jsonb, calls bigint, open integer)
    LEFT JOIN "model_turn" t ON t.api = w.api AND t.user_id = w."user" AND t.until > clock_timestamp()
    ORDER BY t.since NULLS LAST, w.id
  LOOP
    id := c.id; refused := NULL; until := NULL; most := NULL; spent := NULL; reserved := NULL;
    IF c.prompt IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "prompt" p
        WHERE p.id = c.prompt AND p.lease_epoch = c.epoch AND p.status = 'Running') THEN
      refused := 'ended';
    END IF;
    INSERT INTO "model_api" (api) VALUES (c.api) ON CONFLICT DO NOTHING;
    SELECT * INTO its_api FROM "model_api" a WHERE a.api = c.api;
    FOR s IN SELECT * FROM spend_scopes(today, c."user", c.session, c.prompt) LOOP
      EXIT WHEN refused IS NOT NULL;
      SELECT * INTO its FROM "spend" b WHERE b.scope = s.scope AND b.subject = s.subject AND b.period = s.period;
      IF s.scope = 'run' AND coalesce(its.calls, 0) >= c.calls THEN
        refused := 'calls'; most := c.calls;
      ELSIF coalesce(its.spent, 0) + coalesce(its.reserved, 0) + c.amount > (c.limits ->> s.scope)::bigint THEN
        most := (c.limits ->> s.scope)::bigint; spent := coalesce(its.spent, 0); reserved := coalesce(its.reserved, 0);
        -- Other calls hold what this one needs: most of it comes back when they end.
        refused := CASE WHEN spent + c.amount <= most THEN 'held' ELSE s.scope END;
      END IF;
    END LOOP;
    -- Last: who waits for a turn can pay for it. Those who have waited for longer keep a place each.
    waits_since := NULL; before := 0;
    IF in_turns THEN
      SELECT t.since INTO waits_since FROM "model_turn" t
      WHERE t.api = c.api AND t.user_id = c."user" AND t.until > clock_timestamp();
      SELECT count(*) INTO before FROM "model_turn" t WHERE t.api = c.api AND t.user_id <> c."user"
        AND t.until > clock_timestamp() AND t.since < coalesce(waits_since, 'infinity');
    END IF;
    IF refused IS NULL THEN
      IF its_api.back_off_until > clock_timestamp() THEN
        refused := 'busy'; until := its_api.back_off_until;
      ELSIF least(c.open, its_api.allowed) - its_api.open <= before THEN
        refused := 'busy';
      END IF;
    END IF;
    IF refused = 'busy' THEN
      -- Its node looks again soon; after two seconds, however long its API backs off.
      INSERT INTO "model_turn" AS t (api, user_id, since, until)
      VALUES (c.api, c."user", clock_timestamp(), clock_timestamp() + interval '3 seconds'
        + CASE WHEN until > clock_timestamp() THEN least(until - clock_timestamp(), interval '2 seconds') ELSE '0' END)
      ON CONFLICT ON CONSTRAINT model_turn_api_user_id_pk
      DO UPDATE SET since = coalesce(waits_since, excluded.since), until = excluded.until;
      in_turns := true;
    ELSIF waits_since IS NOT NULL THEN
      -- It has had its turn: its next call waits behind all who wait now.
      DELETE FROM "model_turn" t WHERE t.api = c.api AND t.user_id = c."user";
    END IF;
    IF refused IS NULL THEN
      INSERT INTO "spend" AS b (scope, subject, period, reserved, calls)
      SELECT n.scope, n.subject, n.period, c.amount, 1 FROM spend_scopes(today, c."user", c.session, c.prompt) n
      ON CONFLICT ON CONSTRAINT spend_scope_subject_period_pk
      DO UPDATE SET reserved = b.reserved + excluded.reserved, calls = b.calls + 1;
      UPDATE "model_api" a SET open = a.open + 1 WHERE a.api = c.api;
      -- Cut, since rounding it could make it one of the next day, with other budgets.
      INSERT INTO "model_call" (id, prompt_id, epoch, session_id, user_id, repo, agent, api, model, reserved, input_estimate,
        conversation, started_at)
      VALUES (c.id, c.prompt, c.epoch, c.session, c."user", c.repo, c.agent, c.api, c.model, c.amount, c.input,
        coalesce(c.conversation, ''), date_trunc('milliseconds', now()));
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;--> statement-breakpoint
-- Takes back the reservations of calls that are not made: nothing is left of them. With its user's name, that user waits no more.
CREATE FUNCTION cancel_model_calls(unmade jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  gone "model_call";
BEGIN
  PERFORM lock_spend();
  DELETE FROM "model_turn" t USING jsonb_to_recordset(unmade) AS u (api text, "user" text)
  WHERE t.api = u.api AND t.user_id = u."user";
  FOR gone IN DELETE FROM "model_call" m USING jsonb_to_recordset(unmade) AS u (id uuid)
    WHERE m.id = u.id AND m.status = 'open' RETURNING m.*
  LOOP
    UPDATE "spend" b SET reserved = greatest(b.reserved - gone.reserved, 0), calls = greatest(b.calls - 1, 0)
    FROM spend_scopes((gone.started_at AT TIME ZONE 'utc')::date, gone.user_id, gone.session_id, gone.prompt_id) n
    WHERE b.scope = n.scope AND b.subject = n.subject AND b.period = n.period;
    UPDATE "model_api" a SET open = greatest(a.open - 1, 0) WHERE a.api = gone.api;
  END LOOP;
END $$;--> statement-breakpoint
-- Adds an ended call to the sums for reports, or takes it out of them. In a language that keeps the plans of its statements.
CREATE FUNCTION count_model_call(m "model_call", sign integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "model_usage" AS u (day, user_id, session_id, prompt_id, repo, agent, model, calls, turns, estimated_calls,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, web_searches, cost)
  VALUES ((m.started_at AT TIME ZONE 'utc')::date, m.user_id, m.session_id, coalesce(m.prompt_id, m.session_id), m.repo, m.agent,
    m.model, sign, sign * (m.output_tokens > 0)::integer, sign * m.estimated::integer, sign * m.input_tokens,
    sign * m.output_tokens, sign * m.cache_read_tokens, sign * m.cache_write_tokens, sign * m.cache_write_1h_tokens,
    sign * m.web_searches, sign * m.cost)
  ON CONFLICT (prompt_id, day, model) DO UPDATE SET calls = u.calls + excluded.calls, turns = u.turns + excluded.turns,
    estimated_calls = u.estimated_calls + excluded.estimated_calls, input_tokens = u.input_tokens + excluded.input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens,
    cache_read_tokens = u.cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = u.cache_write_tokens + excluded.cache_write_tokens,
    cache_write_1h_tokens = u.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
    web_searches = u.web_searches + excluded.web_searches, cost = u.cost + excluded.cost;
END $$;--> statement-breakpoint
-- What the calls of a prompt have used, as its clients read it; null: it has made none.
CREATE FUNCTION prompt_usage(of_prompt uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('turns', sum(u.turns),
    'input_tokens', sum(u.input_tokens + u.cache_read_tokens + u.cache_write_tokens + u.cache_write_1h_tokens),
    'output_tokens', sum(u.output_tokens), 'cost_usd', sum(u.cost)::double precision / 1000000000)
  FROM "model_usage" u WHERE u.prompt_id = of_prompt AND u.agent <> '(titles)' HAVING count(*) > 0;
$$;--> statement-breakpoint
-- Turns the reservations of calls into what they cost. A call that has ended is corrected, such as one that was taken for lost; one
-- whose reservation was lost with the database is written down now.
CREATE FUNCTION settle_model_calls(ended jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  c record;
  old "model_call";
  new "model_call";
  was_open boolean;
  back_off interval;
BEGIN
  PERFORM lock_spend();
  FOR c IN SELECT * FROM jsonb_to_recordset(ended) AS e (id uuid, prompt uuid, epoch bigint, session uuid, "user" text,
      repo text, agent text, api text, model text, status text, http_status integer, cost bigint, input bigint, output bigint,
      cache_read bigint, cache_write bigint, cache_write_1h bigint, web_searches bigint, estimated boolean,
      first_output_ms integer, duration_ms integer, started timestamp with time zone, overloaded boolean, retry_after_ms bigint)
  LOOP
    SELECT * INTO old FROM "model_call" m WHERE m.id = c.id;
    was_open := old.status = 'open';
    -- It has ended meanwhile, or was never made: that it is lost says nothing new.
    CONTINUE WHEN c.status = 'lost' AND was_open IS NOT TRUE;
    INSERT INTO "model_call" AS m (id, prompt_id, epoch, session_id, user_id, repo, agent, api, model, status, http_status, cost,
      input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, web_searches, estimated,
      first_output_ms, duration_ms, started_at, ended_at)
    VALUES (c.id, c.prompt, c.epoch, c.session, c."user", c.repo, c.agent, c.api, c.model, c.status, c.http_status, c.cost,
      c.input, c.output, c.cache_read, c.cache_write, c.cache_write_1h, c.web_searches, c.estimated,
      c.first_output_ms, c.duration_ms, coalesce(c.started, now()), now())
    ON CONFLICT ON CONSTRAINT model_call_pkey DO UPDATE SET model = excluded.model, status = excluded.status,
      http_status = excluded.http_status, cost = excluded.cost, input_tokens = excluded.input_tokens,
      output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
      cache_write_tokens = excluded.cache_write_tokens, cache_write_1h_tokens = excluded.cache_write_1h_tokens,
      web_searches = excluded.web_searches, estimated = excluded.estimated, first_output_ms = excluded.first_output_ms,
      duration_ms = excluded.duration_ms, ended_at = excluded.ended_at
    RETURNING m.* INTO new;
    INSERT INTO "spend" AS b (scope, subject, period, spent, calls)
    SELECT n.scope, n.subject, n.period, new.cost, 1
    FROM spend_scopes((new.started_at AT TIME ZONE 'utc')::date, new.user_id, new.session_id, new.prompt_id) n
    ON CONFLICT (scope, subject, period) DO UPDATE SET spent = b.spent + new.cost - coalesce(old.cost, 0),
      calls = b.calls + (old.id IS NULL)::integer,
      reserved = greatest(b.reserved - CASE WHEN was_open THEN old.reserved ELSE 0 END, 0);
    IF old.id IS NOT NULL AND NOT was_open THEN PERFORM count_model_call(old, -1); END IF;
    PERFORM count_model_call(new, 1);
    UPDATE "prompt" p SET usage = coalesce(p.usage, '{}') || prompt_usage(p.id), updated_at = now()
    WHERE p.id = new.prompt_id AND p.finished_at IS NOT NULL;
    IF c.overloaded THEN
      -- Of those that were under way together, the first halves what may be; the others only wait with it. Whatever the API asks
      -- for, it is asked again after five minutes: one answer must not stop all runs for a day.
      back_off := least(greatest(coalesce(c.retry_after_ms,
        1000 * 2 ^ least((SELECT a.overloads FROM "model_api" a WHERE a.api = new.api), 6)), 0), 300000)
        * interval '1 millisecond';
      UPDATE "model_api" a SET open = greatest(a.open - coalesce(was_open, false)::integer, 0),
        back_off_until = greatest(a.back_off_until, clock_timestamp() + back_off),
        overloads = a.overloads + (coalesce(a.back_off_until, '-infinity') <= clock_timestamp())::integer,
        allowed = CASE WHEN a.back_off_until > clock_timestamp() THEN a.allowed
          ELSE greatest(least(a.open, a.allowed) / 2, 1) END
      WHERE a.api = new.api;
    ELSE
      UPDATE "model_api" a SET open = greatest(a.open - coalesce(was_open, false)::integer, 0),
        overloads = CASE WHEN new.status = 'done' THEN 0 ELSE a.overloads END,
        -- One more for each that was answered, until it is more than any deployment has at a time.
        allowed = CASE WHEN new.status = 'done' THEN nullif(least(a.allowed + 1, 1000), 1000) ELSE a.allowed END
      WHERE a.api = new.api;
    END IF;
  END LOOP;
END $$;
