CREATE TABLE "run_secret" (
	"prompt_id" uuid NOT NULL,
	"project_id" uuid NOT NULL,
	"version" bigint NOT NULL,
	"name" text NOT NULL,
	"sealed" "bytea" NOT NULL,
	"key_id" text NOT NULL,
	CONSTRAINT "run_secret_prompt_id_project_id_version_name_pk" PRIMARY KEY("prompt_id","project_id","version","name")
);
--> statement-breakpoint
ALTER TABLE "run_secret" ADD CONSTRAINT "run_secret_prompt_id_prompt_id_fk" FOREIGN KEY ("prompt_id") REFERENCES "public"."prompt"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "run_secret_key" ON "run_secret" USING btree ("key_id");