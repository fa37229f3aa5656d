ALTER TABLE "prompt" DROP CONSTRAINT "prompt_waiting_for";--> statement-breakpoint
ALTER TABLE "unpushed_work" ALTER COLUMN "bundle" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "unpushed_work" ADD COLUMN "host" text;--> statement-breakpoint
CREATE INDEX "unpushed_work_host" ON "unpushed_work" USING btree ("host") WHERE "unpushed_work"."host" is not null;--> statement-breakpoint
ALTER TABLE "prompt" ADD CONSTRAINT "prompt_waiting_for" CHECK ("prompt"."waiting_for" in ('git_host', 'model', 'sandbox', 'database', 'machine', 'disk', 'isolation'));