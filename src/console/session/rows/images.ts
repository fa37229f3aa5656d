import { asObject, asString } from "./json.ts";
import type { ToolImage } from "./row.ts";

/** Characters of base64. */
const MAX_CHARS = 8_000_000;
/** No SVG: it is a document. */
const TYPES: ReadonlySet<unknown> = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const BASE64 = /^[A-Za-z0-9+/\s]+=*\s*$/;

/** An image block of Claude Code or of MCP, as an image, or as a note that says why it is none. */
export function readImage(block: unknown): ToolImage | string {
  const { source, data, mimeType } = asObject(block) ?? {};
  const of = asObject(source);
  const type = of?.["media_type"] ?? mimeType;
  const bytes = asString(of?.["data"] ?? data);
  if (bytes === undefined) return "An image without data.";
  if (!TYPES.has(type)) return `An image of a type that is not shown: ${String(type).slice(0, 60)}.`;
  if (bytes.length > MAX_CHARS) return "An image that is too large to be shown.";
  // An event that is too large is stored with its texts cut.
  if (!BASE64.test(bytes)) return "An image that was not stored whole.";
  return { src: `data:${type};base64,${bytes.replace(/\s/g, "")}` };
}
