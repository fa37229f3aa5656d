CREATE TABLE "used_sign_in_code" (
	"hash" text PRIMARY KEY NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "web_session" (
	"id" text PRIMARY KEY NOT NULL,
	"user_id" text NOT NULL,
	"sealed_tokens" text NOT NULL,
	"refresh_at" timestamp (3) with time zone,
	"refresh_lease_until" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "event_ticket" ADD COLUMN "web_session" text;--> statement-breakpoint
CREATE INDEX "used_sign_in_code_expires" ON "used_sign_in_code" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "web_session_user" ON "web_session" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "web_session_expires" ON "web_session" USING btree ("expires_at");