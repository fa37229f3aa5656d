CREATE TABLE "unpushed_work" (
	"session_id" uuid PRIMARY KEY NOT NULL,
	"commit" text NOT NULL,
	"bundle" jsonb NOT NULL,
	"stored_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "unpushed_work" ADD CONSTRAINT "unpushed_work_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;