CREATE TABLE "worker_agent" (
	"process" text NOT NULL,
	"agent" text NOT NULL,
	"host" text NOT NULL,
	"report" jsonb NOT NULL,
	"available_at" timestamp (3) with time zone,
	"reported_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "worker_agent_process_agent_pk" PRIMARY KEY("process","agent")
);
--> statement-breakpoint
ALTER TABLE "prompt" DROP CONSTRAINT "prompt_waiting_for";--> statement-breakpoint
DROP INDEX "prompt_turn";--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "agent" text;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "model" text;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "mode" text DEFAULT 'auto' NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "max_turns" integer;--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "choice" jsonb;--> statement-breakpoint
CREATE INDEX "worker_agent_name" ON "worker_agent" USING btree ("agent");--> statement-breakpoint
CREATE INDEX "prompt_agent_later" ON "prompt" USING btree ("user_id",coalesce("agent", ''),"not_before") WHERE "prompt"."status" = 'Queued' and "prompt"."not_before" is not null;--> statement-breakpoint
CREATE INDEX "prompt_agent" ON "prompt" USING btree ("agent","id") WHERE "prompt"."status" = 'Queued' and "prompt"."agent" is not null and "prompt"."not_before" is null;--> statement-breakpoint
CREATE INDEX "prompt_awaits_agent" ON "prompt" USING btree ("agent","id") WHERE "prompt"."status" = 'Queued' and "prompt"."waiting_for" = 'agent';--> statement-breakpoint
CREATE INDEX "prompt_turn" ON "prompt" USING btree ("user_id",coalesce("agent", ''),"priority" DESC NULLS FIRST,"created_at","seq") WHERE "prompt"."status" = 'Queued' and "prompt"."not_before" is null;--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_mode" CHECK ("prompt"."mode" in ('auto', 'ask'));--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_waiting_for" CHECK ("prompt"."waiting_for" in ('git_host', 'model', 'sandbox', 'database', 'machine', 'disk', 'isolation', 'agent'));