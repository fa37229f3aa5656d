DROP INDEX "agent_memory_stored";--> statement-breakpoint
DROP INDEX "dead_letter_user";--> statement-breakpoint
DROP INDEX "dead_letter_status_created";--> statement-breakpoint
CREATE INDEX "pull_request_open_url" ON "pull_request" USING btree ("url" text_pattern_ops) WHERE "pull_request"."state" = 'open';--> statement-breakpoint
CREATE INDEX "request_limit_expire" ON "request_limit" USING btree ("expire");--> statement-breakpoint
CREATE INDEX "dead_letter_user_created" ON "dead_letter_queue" USING btree ("user_id","created_at","id");--> statement-breakpoint
CREATE INDEX "dead_letter_created" ON "dead_letter_queue" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "prompt_cancelling" ON "prompt" USING btree ("cancel_requested_at") WHERE "prompt"."status" = 'Running' and "prompt"."cancel_requested_at" is not null;--> statement-breakpoint
CREATE INDEX "session_sandbox_id" ON "session" USING btree (("sbx_config" ->> 'id')) WHERE "session"."sbx_config" is not null;--> statement-breakpoint
CREATE INDEX "agent_memory_stored" ON "agent_memory" USING btree ("stored_at","id");--> statement-breakpoint
CREATE INDEX "dead_letter_user" ON "dead_letter_queue" USING btree ("user_id","status","created_at","id");--> statement-breakpoint
CREATE INDEX "dead_letter_status_created" ON "dead_letter_queue" USING btree ("status","created_at","id");