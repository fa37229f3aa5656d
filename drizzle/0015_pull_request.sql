CREATE TABLE "pull_request" (
	"session_id" uuid PRIMARY KEY NOT NULL,
	"effect_id" uuid NOT NULL,
	"number" integer NOT NULL,
	"url" text NOT NULL,
	"title" text NOT NULL,
	"state" text NOT NULL,
	"draft" boolean NOT NULL,
	"base" text NOT NULL,
	"head" text,
	"mergeable" boolean,
	"checks" jsonb,
	"reviews" jsonb,
	"read_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "pull_request" ADD CONSTRAINT "pull_request_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;