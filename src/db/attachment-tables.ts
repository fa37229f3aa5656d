import { check, index, integer, pgTable, text, uuid } from "drizzle-orm/pg-core";
import { ATTACHMENT_KINDS, at, bytes, id, oneOf } from "./columns.ts";
import { prompt } from "./tables.ts";

/** What came with a prompt: `prompt.data` has a reference in the place of each. Never changed, but in its place in the prompt. */
export const attachment = pgTable(
  "attachment",
  {
    id: id(),
    promptId: uuid("prompt_id")
      .notNull()
      .references(() => prompt.id, { onDelete: "cascade" }),
    /** From 0, in the order of the prompt's blocks. */
    position: integer("position").notNull(),
    kind: text("kind", { enum: ATTACHMENT_KINDS }).notNull(),
    /** A file name that is safe everywhere, different from the others of the prompt. */
    name: text("name").notNull(),
    /** Of an image and a PDF: by its content; else as it was sent. */
    mediaType: text("media_type").notNull(),
    bytes: bytes("bytes").notNull(),
    /** In hexadecimal digits. */
    sha256: text("sha256").notNull(),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (t) => [
    index("attachment_prompt").on(t.promptId, t.position),
    check("attachment_kind", oneOf(t.kind, ATTACHMENT_KINDS)),
  ],
);
