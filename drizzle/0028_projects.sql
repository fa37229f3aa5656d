CREATE TABLE "project" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" text NOT NULL,
	"repo" text NOT NULL,
	"repo_key" text NOT NULL,
	"instructions" text DEFAULT '' NOT NULL,
	"setup_command" text DEFAULT '' NOT NULL,
	"environment" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"mcp_servers" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"egress_hosts" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"agent" text,
	"model" text,
	"mode" text,
	"budget_usd" double precision,
	"pull_request" text,
	"version" bigint DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "project_mode" CHECK ("project"."mode" in ('auto', 'ask')),
	CONSTRAINT "project_pull_request" CHECK ("project"."pull_request" in ('manual', 'draft', 'auto'))
);
--> statement-breakpoint
CREATE TABLE "project_secret" (
	"project_id" uuid NOT NULL,
	"name" text NOT NULL,
	"sealed" "bytea" NOT NULL,
	"key_id" text NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "project_secret_project_id_name_pk" PRIMARY KEY("project_id","name")
);
--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "project_id" uuid;--> statement-breakpoint
ALTER TABLE "prompt" ADD COLUMN "project_version" bigint;--> statement-breakpoint
ALTER TABLE "project_secret" ADD CONSTRAINT "project_secret_project_id_project_id_fk" FOREIGN KEY ("project_id") REFERENCES "public"."project"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "project_user_repo" ON "project" USING btree ("user_id","repo_key");--> statement-breakpoint
CREATE INDEX "project_user" ON "project" USING btree ("user_id","id");--> statement-breakpoint
CREATE INDEX "project_secret_key" ON "project_secret" USING btree ("key_id");