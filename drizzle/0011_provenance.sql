CREATE TABLE "provenance" (
	"id" uuid PRIMARY KEY NOT NULL,
	"session_id" uuid NOT NULL,
	"prompt_id" uuid NOT NULL,
	"key_id" text NOT NULL,
	"envelope" text NOT NULL
);
--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "author_name" text;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "author_email" text;--> statement-breakpoint
ALTER TABLE "provenance" ADD CONSTRAINT "provenance_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "provenance" ADD CONSTRAINT "provenance_prompt_id_prompt_id_fk" FOREIGN KEY ("prompt_id") REFERENCES "public"."prompt"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "provenance_session" ON "provenance" USING btree ("session_id");--> statement-breakpoint
CREATE INDEX "provenance_prompt" ON "provenance" USING btree ("prompt_id");