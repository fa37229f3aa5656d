CREATE TABLE "effect" (
	"id" uuid PRIMARY KEY NOT NULL,
	"session_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"target" text NOT NULL,
	"key" text NOT NULL,
	"status" text NOT NULL,
	"request" jsonb NOT NULL,
	"result" jsonb,
	"attempts" integer DEFAULT 0 NOT NULL,
	"due_at" timestamp (3) with time zone,
	"lease_until" timestamp (3) with time zone,
	"prompt_id" uuid,
	"lease_epoch" bigint,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "effect_kind" CHECK ("effect"."kind" in ('push', 'pull_request', 'merge')),
	CONSTRAINT "effect_status" CHECK ("effect"."status" in ('intended', 'uncertain', 'done', 'failed'))
);
--> statement-breakpoint
ALTER TABLE "effect" ADD CONSTRAINT "effect_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "effect_key" ON "effect" USING btree ("session_id","kind","key","target");--> statement-breakpoint
CREATE INDEX "effect_session" ON "effect" USING btree ("session_id","id");--> statement-breakpoint
CREATE INDEX "effect_due" ON "effect" USING btree ("due_at") WHERE "effect"."due_at" is not null;--> statement-breakpoint
CREATE INDEX "effect_unfinished" ON "effect" USING btree ("kind","status") WHERE "effect"."status" in ('intended', 'uncertain');