ALTER TABLE "prompt" ADD COLUMN "failures" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "cancel_requested_at" timestamp (3) with time zone;--> statement-breakpoint
CREATE INDEX "session_cancelling" ON "session" USING btree ("updated_at") WHERE "session"."cancellation_status" = 'Requested';