DROP INDEX "session_repo_branch";--> statement-breakpoint
CREATE UNIQUE INDEX "session_user_repo_branch" ON "session" USING btree ("user_id","repo","branch") WHERE "session"."deleted_at" is null;