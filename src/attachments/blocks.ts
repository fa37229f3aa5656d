import type { AttachmentKind } from "../db/columns.ts";
import { AppError } from "../shared/errors.ts";
import { inMiB, MIB } from "../shared/units.ts";

/** Largest attachment, and all of a prompt together, bytes. */
const MAX_ATTACHMENT_BYTES = 5 * MIB;
export const MAX_ATTACHMENTS_BYTES = 20 * MIB;
const MAX_ATTACHMENTS = 20;

/** The fields of a prompt that may hold its text, of which the first counts: as agents/prompt-text.ts reads it. */
const FIELDS = ["content", "prompt", "text", "message"] as const;

type JsonObject = Record<string, unknown>;

/** A block of a prompt that carries a file, or refers to one. */
export interface Block {
  kind: AttachmentKind;
  /** Where it is in the prompt, for messages: `data[0].content[1]`. */
  path: string;
  /** As it was sent. */
  fields: JsonObject;
  source: JsonObject;
}

/**
 * Finds the blocks in the places where a prompt's text is looked for.
 * @param replace gives what stands in a block's place in the result.
 * @throws AppError `attachment_too_large` if there are too many.
 */
export function mapBlocks(data: unknown, field: string, replace: (block: Block) => JsonObject): unknown {
  let count = 0;
  const walk = (value: unknown, path: string): unknown => {
    if (Array.isArray(value)) return value.map((one, index) => walk(one, `${path}[${index}]`));
    if (typeof value !== "object" || value === null) return value;
    const fields = value as JsonObject;
    const block = blockIn(fields, path);
    if (block) {
      count += 1;
      if (count > MAX_ATTACHMENTS)
        throw new AppError(
          "attachment_too_large",
          `${path}: a prompt may have ${MAX_ATTACHMENTS} attachments; send the others with another prompt.`,
        );
      return replace(block);
    }
    const name = FIELDS.find((one) => fields[one] !== undefined && fields[one] !== null);
    return name === undefined ? value : { ...fields, [name]: walk(fields[name], `${path}.${name}`) };
  };
  return walk(data, field);
}

/** Of a type without `source`, clients may have sent anything, ever since. */
function blockIn(fields: JsonObject, path: string): Block | undefined {
  const { type: kind, source } = fields;
  if (kind !== "image" && kind !== "document" && kind !== "file") return undefined;
  if (typeof source !== "object" || source === null || Array.isArray(source)) return undefined;
  return { kind, path, fields, source: source as JsonObject };
}

/** Whether what is stored of a prompt refers to attachments. */
export function hasAttachments(data: unknown): boolean {
  let found = false;
  mapBlocks(data, "", (block) => {
    found ||= block.source["type"] === "attachment";
    return block.fields;
  });
  return found;
}

/** The bytes of a block that carries them. @throws AppError `attachment_invalid`, `attachment_too_large` */
export function bytesOf({ kind, path, source }: Block): Uint8Array {
  const { type, data } = source;
  const types = kind === "document" ? ["base64", "text"] : ["base64"];
  if (typeof type !== "string" || !types.includes(type))
    throw invalid(
      `${path}.source.type`,
      `must be ${types.map((one) => JSON.stringify(one)).join(" or ")}, with the content in data, or "attachment", with the id of one`,
    );
  if (typeof data !== "string" || data === "") throw invalid(`${path}.source.data`, "must have the content");
  const most = type === "text" ? MAX_ATTACHMENT_BYTES : Math.ceil(MAX_ATTACHMENT_BYTES / 3) * 4;
  const bytes = data.length > most ? undefined : type === "text" ? Buffer.from(data) : decoded(data, path);
  if (bytes && bytes.length <= MAX_ATTACHMENT_BYTES) return bytes;
  throw new AppError(
    "attachment_too_large",
    `${path}: an attachment may have ${inMiB(MAX_ATTACHMENT_BYTES)}; put a larger one where the agent can fetch it.`,
  );
}

function decoded(data: string, path: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(data, { lastChunkHandling: "strict" });
  } catch {
    throw invalid(`${path}.source.data`, "must be base64, with its padding and nothing before it");
  }
}

/** @param what behind the path, without the full stop. */
export const invalid = (path: string, what: string) =>
  new AppError("attachment_invalid", `${path}: ${what}.`);
