CREATE TABLE "dead_letter_queue" (
	"id" uuid PRIMARY KEY NOT NULL,
	"task_type" text NOT NULL,
	"entity_id" uuid NOT NULL,
	"entity_data" jsonb,
	"retry_count" integer DEFAULT 0 NOT NULL,
	"last_error" text NOT NULL,
	"last_error_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"first_failed_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"status" text DEFAULT 'Pending' NOT NULL,
	"resolution_notes" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "dead_letter_status" CHECK ("dead_letter_queue"."status" in ('Pending', 'Resolved', 'Abandoned'))
);
--> statement-breakpoint
CREATE TABLE "message" (
	"id" uuid PRIMARY KEY NOT NULL,
	"prompt_id" uuid NOT NULL,
	"session_id" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"data" jsonb NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "outbox" (
	"id" uuid PRIMARY KEY NOT NULL,
	"topic" text NOT NULL,
	"key" text NOT NULL,
	"payload" jsonb NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"last_error" text,
	"published_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "prompt" (
	"id" uuid PRIMARY KEY NOT NULL,
	"session_id" uuid NOT NULL,
	"seq" integer NOT NULL,
	"data" jsonb NOT NULL,
	"status" text DEFAULT 'Queued' NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"lease_owner" text,
	"lease_epoch" bigint DEFAULT 0 NOT NULL,
	"lease_expires_at" timestamp (3) with time zone,
	"dispatched_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"error" text,
	"usage" jsonb,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "prompt_status" CHECK ("prompt"."status" in ('Queued', 'Running', 'Completed', 'Failed', 'Cancelled')),
	CONSTRAINT "prompt_lease" CHECK (("prompt"."status" = 'Running') = ("prompt"."lease_owner" is not null and "prompt"."lease_expires_at" is not null))
);
--> statement-breakpoint
CREATE TABLE "session" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" text NOT NULL,
	"repo" text NOT NULL,
	"target_branch" text NOT NULL,
	"branch" text NOT NULL,
	"title" text NOT NULL,
	"parent" uuid,
	"messages" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"inbox_status" text DEFAULT 'Pending' NOT NULL,
	"session_status" text DEFAULT 'Active' NOT NULL,
	"sbx_config" jsonb,
	"cancellation_status" text,
	"cancelled_at" timestamp (3) with time zone,
	"cancelled_by" text,
	"ip_return_retry_count" integer DEFAULT 0 NOT NULL,
	"prompt_seq" integer DEFAULT 0 NOT NULL,
	"message_seq" bigint DEFAULT 0 NOT NULL,
	"deleted_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "session_inbox_status" CHECK ("session"."inbox_status" in ('Pending', 'Processing', 'Completed', 'Failed', 'Cancelled')),
	CONSTRAINT "session_session_status" CHECK ("session"."session_status" in ('Active', 'Completed', 'Failed')),
	CONSTRAINT "session_cancellation_status" CHECK ("session"."cancellation_status" in ('Requested', 'Cancelled')),
	CONSTRAINT "session_not_empty" CHECK ("session"."repo" <> '' and "session"."branch" <> '' and "session"."target_branch" <> '')
);
--> statement-breakpoint
ALTER TABLE "message" ADD CONSTRAINT "message_prompt_id_prompt_id_fk" FOREIGN KEY ("prompt_id") REFERENCES "public"."prompt"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "message" ADD CONSTRAINT "message_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "session" ADD CONSTRAINT "session_parent_session_id_fk" FOREIGN KEY ("parent") REFERENCES "public"."session"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "dead_letter_status_created" ON "dead_letter_queue" USING btree ("status","created_at");--> statement-breakpoint
CREATE INDEX "dead_letter_entity" ON "dead_letter_queue" USING btree ("entity_id");--> statement-breakpoint
CREATE UNIQUE INDEX "message_session_seq" ON "message" USING btree ("session_id","seq");--> statement-breakpoint
CREATE INDEX "message_prompt_seq" ON "message" USING btree ("prompt_id","seq");--> statement-breakpoint
CREATE INDEX "outbox_due" ON "outbox" USING btree ("next_attempt_at","id") WHERE "outbox"."published_at" is null;--> statement-breakpoint
CREATE INDEX "outbox_waiting_key" ON "outbox" USING btree ("key") WHERE "outbox"."published_at" is null;--> statement-breakpoint
CREATE UNIQUE INDEX "prompt_session_seq" ON "prompt" USING btree ("session_id","seq");--> statement-breakpoint
CREATE UNIQUE INDEX "prompt_one_running" ON "prompt" USING btree ("session_id") WHERE "prompt"."status" = 'Running';--> statement-breakpoint
CREATE INDEX "prompt_unfinished" ON "prompt" USING btree ("session_id","seq") WHERE "prompt"."status" in ('Queued', 'Running');--> statement-breakpoint
CREATE INDEX "prompt_waiting" ON "prompt" USING btree ("dispatched_at") WHERE "prompt"."status" = 'Queued';--> statement-breakpoint
CREATE INDEX "prompt_lease_expires" ON "prompt" USING btree ("lease_expires_at") WHERE "prompt"."status" = 'Running';--> statement-breakpoint
CREATE UNIQUE INDEX "session_repo_branch" ON "session" USING btree ("repo","branch");--> statement-breakpoint
CREATE INDEX "session_user" ON "session" USING btree ("user_id","created_at","id") WHERE "session"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "session_parent" ON "session" USING btree ("parent") WHERE "session"."parent" is not null;--> statement-breakpoint
CREATE INDEX "session_sandbox" ON "session" USING btree ("updated_at") WHERE "session"."sbx_config" is not null;