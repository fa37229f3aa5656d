import { t } from "elysia";
import { AnyJson } from "../api/schemas.ts";

export const webhookModels = {
  ForgeEventInput: t.Record(t.String(), AnyJson, {
    description: "The event, as the host sends it",
    examples: [{ action: "closed", pull_request: { html_url: "https://github.com/owner/name/pull/7" } }],
  }),
  ForgeEventOutput: t.Object({
    success: t.Boolean(),
    message: t.String({ examples: ["A pull request is read again"] }),
  }),
  ReturnItemInput: t.Object({
    item: t.Any({
      description: "The item as returned by the allocator, or at least its id",
      examples: [{ id: "sandbox-17" }],
    }),
  }),
  ReturnItemOutput: t.Object({
    success: t.Boolean(),
    message: t.String({ examples: ["The item is marked as returned"] }),
  }),
};
