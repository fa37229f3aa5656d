ALTER TABLE "pull_request" ADD COLUMN "look_at" timestamp (3) with time zone;--> statement-breakpoint
CREATE INDEX "pull_request_url" ON "pull_request" USING btree ("url" text_pattern_ops);--> statement-breakpoint
CREATE INDEX "pull_request_look" ON "pull_request" USING btree ("look_at") WHERE "pull_request"."look_at" is not null;