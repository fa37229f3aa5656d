CREATE TABLE "permission_request" (
	"id" uuid PRIMARY KEY NOT NULL,
	"request_id" uuid NOT NULL,
	"prompt_id" uuid NOT NULL,
	"session_id" uuid NOT NULL,
	"tool" text NOT NULL,
	"input" jsonb NOT NULL,
	"title" text,
	"status" text DEFAULT 'pending' NOT NULL,
	"asked_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"answered_at" timestamp (3) with time zone,
	"answered_by" text,
	"reason" text,
	"delivered_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "permission_request_status" CHECK ("permission_request"."status" in ('pending', 'allowed', 'allowed_run', 'denied', 'expired', 'cancelled')),
	CONSTRAINT "permission_request_answered" CHECK (("permission_request"."status" = 'pending') = ("permission_request"."answered_at" is null))
);
--> statement-breakpoint
CREATE TABLE "steer" (
	"id" uuid PRIMARY KEY NOT NULL,
	"prompt_id" uuid NOT NULL,
	"session_id" uuid NOT NULL,
	"text" text NOT NULL,
	"created_by" text NOT NULL,
	"status" text DEFAULT 'pending' NOT NULL,
	"written_at" timestamp (3) with time zone,
	"delivered_at" timestamp (3) with time zone,
	"queued_prompt_id" uuid,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "steer_status" CHECK ("steer"."status" in ('pending', 'delivered', 'queued', 'cancelled'))
);
--> statement-breakpoint
ALTER TABLE "prompt" DROP CONSTRAINT "prompt_waiting_for";--> statement-breakpoint
ALTER TABLE "permission_request" ADD CONSTRAINT "permission_request_prompt_id_prompt_id_fk" FOREIGN KEY ("prompt_id") REFERENCES "public"."prompt"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "permission_request" ADD CONSTRAINT "permission_request_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "steer" ADD CONSTRAINT "steer_prompt_id_prompt_id_fk" FOREIGN KEY ("prompt_id") REFERENCES "public"."prompt"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "steer" ADD CONSTRAINT "steer_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "steer" ADD CONSTRAINT "steer_queued_prompt_id_prompt_id_fk" FOREIGN KEY ("queued_prompt_id") REFERENCES "public"."prompt"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "permission_request_of_prompt" ON "permission_request" USING btree ("prompt_id","request_id");--> statement-breakpoint
CREATE INDEX "permission_request_session" ON "permission_request" USING btree ("session_id","id");--> statement-breakpoint
CREATE INDEX "permission_request_open" ON "permission_request" USING btree ("expires_at") WHERE "permission_request"."status" = 'pending';--> statement-breakpoint
CREATE INDEX "permission_request_undelivered" ON "permission_request" USING btree ("prompt_id") WHERE "permission_request"."status" <> 'pending' and "permission_request"."delivered_at" is null;--> statement-breakpoint
CREATE INDEX "steer_prompt" ON "steer" USING btree ("prompt_id","id");--> statement-breakpoint
CREATE INDEX "steer_session" ON "steer" USING btree ("session_id");--> statement-breakpoint
CREATE INDEX "steer_queued_prompt" ON "steer" USING btree ("queued_prompt_id") WHERE "steer"."queued_prompt_id" is not null;--> statement-breakpoint
CREATE INDEX "steer_pending" ON "steer" USING btree ("prompt_id") WHERE "steer"."status" = 'pending';--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_waiting_for" CHECK ("prompt"."waiting_for" in ('git_host', 'model', 'sandbox', 'database', 'machine', 'disk', 'isolation', 'agent', 'permission'));