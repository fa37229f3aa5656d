CREATE TABLE "event_ticket" (
	"hash" text PRIMARY KEY NOT NULL,
	"user_id" text NOT NULL,
	"token_expires_at" timestamp (3) with time zone,
	"key_fingerprint" text,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE INDEX "event_ticket_user" ON "event_ticket" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "event_ticket_expires" ON "event_ticket" USING btree ("expires_at");