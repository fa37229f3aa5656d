import { Elysia } from "elysia";
import { isUnchanged } from "../api/etag.ts";
import { documentedErrors, idParams, securedOperation, sharedModels } from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { readAttachment } from "./store.ts";

const bytes = { type: "string", format: "binary" } as const;

/** What came with prompts. */
export function attachmentRoutes({ orm, guard }: { orm: Orm; guard: Guard }) {
  const detail = securedOperation("Prompts");
  return new Elysia()
    .use(guard)
    .model(sharedModels)
    .get(
      "/attachments/:id",
      async (context) => {
        const { user, params, request, set, status } = context;
        const ifNoneMatch = request.headers.get("if-none-match");
        const found = await readAttachment(orm, { userId: user.id, id: params.id, ifNoneMatch });
        const { kind, name, mediaType, sha256, bytes } = found;
        if (isUnchanged(context, `"${sha256}"`) || bytes === null) return status(304, undefined);
        Object.assign(set.headers, contentHeaders({ kind, name, mediaType }));
        return new Response(new Uint8Array(bytes));
      },
      {
        params: idParams,
        detail: {
          ...detail(
            "handlers_attachments_read",
            "Get an attachment of a prompt",
            "The bytes of an image or a file, by the id in `source` of the prompt's `data`. It is there as long as its prompt.",
          ),
          responses: {
            200: {
              description: "The bytes: an image as what it is, anything else as something to save",
              content: {
                "image/*": { schema: bytes, example: "(the bytes of a PNG)" },
                "application/octet-stream": { schema: bytes, example: "(the bytes of a PDF)" },
              },
            },
            304: { description: "Not modified since the reply with this ETag" },
            ...documentedErrors(401, 404, 422, 429, 500, 503),
          },
        },
      },
    );
}

/** Only what is an image by its content is shown by browsers; whatever else it is, nothing in it runs. */
function contentHeaders({ kind, name, mediaType }: { kind: string; name: string; mediaType: string }) {
  const image = kind === "image";
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return {
    "content-type": image ? mediaType : "application/octet-stream",
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "content-disposition": `${image ? "inline" : "attachment"}; filename*=UTF-8''${encoded}`,
  };
}
