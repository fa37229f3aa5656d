CREATE TABLE "comment" (
	"id" uuid PRIMARY KEY NOT NULL,
	"session_id" uuid NOT NULL,
	"path" text NOT NULL,
	"commit" text NOT NULL,
	"side" text NOT NULL,
	"line" integer,
	"end_line" integer,
	"text" text NOT NULL,
	"code" text NOT NULL,
	"sent_prompt_id" uuid,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "comment_side" CHECK ("comment"."side" in ('old', 'new')),
	CONSTRAINT "comment_lines" CHECK (("comment"."line" is null) = ("comment"."end_line" is null) and "comment"."line" <= "comment"."end_line")
);
--> statement-breakpoint
ALTER TABLE "session" ADD COLUMN "comments_version" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "comment" ADD CONSTRAINT "comment_session_id_session_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."session"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "comment" ADD CONSTRAINT "comment_sent_prompt_id_prompt_id_fk" FOREIGN KEY ("sent_prompt_id") REFERENCES "public"."prompt"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "comment_session" ON "comment" USING btree ("session_id","id");--> statement-breakpoint
CREATE INDEX "comment_open" ON "comment" USING btree ("session_id") WHERE "comment"."sent_prompt_id" is null;--> statement-breakpoint
CREATE INDEX "comment_sent_prompt" ON "comment" USING btree ("sent_prompt_id") WHERE "comment"."sent_prompt_id" is not null;--> statement-breakpoint
-- By hand from here: whoever writes, validators grow and listeners hear of it.
CREATE FUNCTION comment_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "session" SET comments_version = comments_version + 1 WHERE id IN (SELECT session_id FROM changed);
  RETURN NULL;
END $$;--> statement-breakpoint
CREATE TRIGGER comment_inserted AFTER INSERT ON "comment" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION comment_after();--> statement-breakpoint
CREATE TRIGGER comment_updated AFTER UPDATE ON "comment" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION comment_after();--> statement-breakpoint
CREATE TRIGGER comment_deleted AFTER DELETE ON "comment" REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION comment_after();
