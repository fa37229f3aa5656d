DROP INDEX "prompt_waiting";--> statement-breakpoint
DROP INDEX "session_user_version";--> statement-breakpoint
DROP INDEX "session_user";--> statement-breakpoint
CREATE INDEX "dead_letter_pending" ON "dead_letter_queue" USING btree ("kind") WHERE "dead_letter_queue"."status" = 'Pending';--> statement-breakpoint
CREATE INDEX "prompt_undispatched" ON "prompt" USING btree (greatest("dispatched_at", "not_before")) WHERE "prompt"."status" = 'Queued';--> statement-breakpoint
CREATE INDEX "session_user_status" ON "session" USING btree ("user_id",(case
  when "session_status" = 'Completed' then 'Archived'
  when "inbox_status" = 'Pending' then 'Pending'
  when "inbox_status" = 'Processing' then 'InProgress'
  when "sbx_config" is not null then 'NeedsReview'
  else 'NeedsReviewIpReturned' end),"created_at","id") WHERE "session"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "session_user" ON "session" USING btree ("user_id","created_at","id","version") WHERE "session"."deleted_at" is null;