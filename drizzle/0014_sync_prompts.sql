ALTER TABLE "prompt" DROP CONSTRAINT "prompt_kind";--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_kind" CHECK ("prompt"."kind" in ('agent', 'push', 'sync'));