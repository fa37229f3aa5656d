import { readImage } from "./images.ts";
import { asObject, asString, pretty } from "./json.ts";
import type { ToolImage, ToolResult } from "./row.ts";

const NO_IMAGES: readonly ToolImage[] = [];
const NO_NOTES: readonly string[] = [];

/** A tool_result block, whose content is a text or a list of blocks. @param at when it came, in milliseconds since the epoch. */
export function readToolResult(block: Record<string, unknown>, at: number): ToolResult {
  const failed = block["is_error"] === true;
  const { content } = block;
  if (typeof content === "string") return { text: content, images: NO_IMAGES, notes: NO_NOTES, failed, at };
  if (!Array.isArray(content))
    return { text: content == null ? "" : pretty(content), images: NO_IMAGES, notes: NO_NOTES, failed, at };
  const texts: string[] = [];
  const images: ToolImage[] = [];
  const notes: string[] = [];
  for (const one of content) {
    const part = asObject(one);
    if (part?.["type"] === "image") {
      const image = readImage(part);
      if (typeof image === "string") notes.push(image);
      else images.push(image);
    } else texts.push(asString(part?.["text"]) ?? asString(one) ?? pretty(one));
  }
  return { text: texts.join("\n"), images, notes, failed, at };
}
