import { t } from "elysia";

export const webhookModels = {
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
