CREATE TABLE "agent_memory" (
	"id" uuid PRIMARY KEY NOT NULL,
	"session_id" uuid NOT NULL,
	"prompt_id" uuid NOT NULL,
	"agent" text NOT NULL,
	"files" jsonb NOT NULL,
	"bytes" bigint NOT NULL,
	"problem" text,
	"stored_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "session_chunk" (
	"session_id" uuid NOT NULL,
	"hash" text NOT NULL,
	"data" "bytea" NOT NULL,
	"used_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "session_chunk_session_id_hash_pk" PRIMARY KEY("session_id","hash")
);
--> statement-breakpoint
ALTER TABLE "message" ADD COLUMN "attempt" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "memory" text;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "memory_reason" text;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "redone" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "warm_host" text;--> statement-breakpoint
ALTER TABLE "agent_memory" ADD CONSTRAINT "agent_memory_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "session_chunk" ADD CONSTRAINT "session_chunk_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "agent_memory_session" ON "agent_memory" USING btree ("session_id","stored_at");--> statement-breakpoint
CREATE INDEX "agent_memory_stored" ON "agent_memory" USING btree ("stored_at");--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_memory" CHECK ("prompt"."memory" in ('fresh', 'resumed', 'replayed', 'cold'));--> statement-breakpoint
-- By hand from here. The pieces are packed already.
ALTER TABLE "session_chunk" ALTER COLUMN "data" SET STORAGE EXTERNAL;--> statement-breakpoint
DROP TRIGGER prompt_version ON "prompt";--> statement-breakpoint
CREATE TRIGGER prompt_version BEFORE UPDATE ON "prompt" FOR EACH ROW
  WHEN ((OLD.data, OLD.priority, OLD.status, OLD.attempt, OLD.error, OLD.error_kind, OLD.usage, OLD.memory, OLD.memory_reason, OLD.redone, OLD.started_at, OLD.finished_at)
    IS DISTINCT FROM (NEW.data, NEW.priority, NEW.status, NEW.attempt, NEW.error, NEW.error_kind, NEW.usage, NEW.memory, NEW.memory_reason, NEW.redone, NEW.started_at, NEW.finished_at))
  EXECUTE FUNCTION prompt_before();
