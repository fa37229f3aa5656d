import { promptText, requirePromptText } from "../agents/prompt-text.ts";
import { MAX_BODY_BYTES } from "../api/request-body.ts";
import type { Queryable } from "../db/client.ts";
import { AppError, notFound } from "../shared/errors.ts";
import { inMiB } from "../shared/units.ts";
import { type Block, bytesOf, invalid, MAX_ATTACHMENTS_BYTES, mapBlocks } from "./blocks.ts";
import { safeName, uniqueName } from "./file-names.ts";
import { imageTypeOf } from "./image-type.ts";
import { type Attachment, findAttachments, type Known } from "./store.ts";

/** Largest side of a picture, pixels: what models take. */
const MAX_SIDE = 8_000;
const MEDIA_TYPE = /^[\w.+-]{1,60}\/[\w.+-]{1,60}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A prompt that is being submitted. */
export interface SubmittedPrompt {
  /** As it was sent, with references in place of the attachments' bytes. */
  data: unknown;
  /** Of the conversation: what the user wrote, or what is attached. "" if there is neither. */
  text: string;
  /** Whether `text` is what the user wrote. */
  written: boolean;
  attachments: readonly Attachment[];
}

/**
 * Reads a prompt, checks what is attached to it, and takes the bytes out. What refers to attachments of the user's other
 * prompts gets copies of its own.
 * @param options.promptId that is being changed: its own attachments stay what they are.
 * @throws AppError `attachment_invalid`, `attachment_too_large`, `attachment_not_found`, `too_large`
 */
export async function readPromptData(
  orm: Queryable,
  sent: unknown,
  options: { userId: string; field: string; promptId?: string },
): Promise<SubmittedPrompt> {
  const { userId, field, promptId } = options;
  const blocks: { block: Block; stored: Record<string, unknown> }[] = [];
  const data = mapBlocks(sent, field, (block) => {
    const stored = { ...block.fields };
    blocks.push({ block, stored });
    return stored;
  });
  const ids = blocks.flatMap(({ block }) => referenceOf(block) ?? []);
  const known = ids.length === 0 ? [] : await findAttachments(orm, userId, ids);
  const attachments: Attachment[] = [];
  const names = new Set<string>();
  const used = new Set<string>();
  let total = 0;
  for (const [position, { block, stored }] of blocks.entries()) {
    // What is decoded and hashed at a time takes a few milliseconds; others want to be answered meanwhile.
    if (position > 0) await new Promise((resolve) => setImmediate(resolve));
    const id = referenceOf(block);
    const content = id === undefined ? readContent(block) : referTo(id, known);
    total += content.size;
    if (total > MAX_ATTACHMENTS_BYTES)
      throw new AppError(
        "attachment_too_large",
        `${block.path}: the attachments of a prompt may have ${inMiB(MAX_ATTACHMENTS_BYTES)} together; send the others with another prompt.`,
      );
    const name = uniqueName(nameOf(block, content, position), names);
    names.add(name.toLowerCase());
    const { kind, mediaType, size, from } = content;
    // Another reference to the same one gets a copy, too.
    const own = from !== undefined && from.promptId === promptId && !used.has(from.id);
    if (from) used.add(from.id);
    const place = { id: own ? from.id : Bun.randomUUIDv7(), position, name };
    attachments.push(
      "bytes" in content
        ? { ...place, kind, mediaType, bytes: content.bytes, sha256: content.sha256 }
        : { ...place, from: own ? undefined : content.from.id },
    );
    stored["name"] = name;
    stored["source"] = { type: "attachment", id: place.id, media_type: mediaType, bytes: size };
  }
  if (Buffer.byteLength(JSON.stringify(data) ?? "") > MAX_BODY_BYTES)
    throw new AppError("too_large", `${field}: is larger than ${inMiB(MAX_BODY_BYTES)}, attachments aside.`);
  const text = promptText(data);
  const attached = attachments.map(({ name }) => name).join(", ");
  return { data, attachments, written: text !== "", text: text || (attached && `Attached: ${attached}`) };
}

/** The same for what must not be empty. @throws AppError `prompt_empty` */
export async function requirePromptData(
  orm: Queryable,
  sent: unknown,
  options: { userId: string; field: string; promptId?: string },
): Promise<SubmittedPrompt> {
  const prompt = await readPromptData(orm, sent, options);
  if (prompt.text === "") requirePromptText(sent, options.field);
  return prompt;
}

/** What is in a block, or in the attachment that it refers to. */
type Content = { kind: Block["kind"]; mediaType: string; size: number } & (
  | { bytes: Uint8Array; sha256: string; from?: undefined }
  | { from: Known }
);

function referenceOf({ path, source }: Block): string | undefined {
  const { type, id } = source;
  if (type !== "attachment") return undefined;
  if (typeof id !== "string" || !UUID.test(id))
    throw invalid(`${path}.source.id`, "must be the id of an attachment");
  return id.toLowerCase();
}

function referTo(id: string, known: readonly Known[]): Content {
  const from = known.find((one) => one.id === id);
  if (!from) throw notFound("attachment", id);
  return { kind: from.kind, mediaType: from.mediaType, size: from.size, from };
}

function readContent(block: Block): Content {
  const bytes = bytesOf(block);
  const mediaType = mediaTypeOf(block, bytes);
  const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  return { kind: block.kind, mediaType, size: bytes.length, bytes, sha256 };
}

function mediaTypeOf({ kind, path, source }: Block, bytes: Uint8Array): string {
  const { media_type: sent, type } = source;
  if (sent !== undefined && (typeof sent !== "string" || !MEDIA_TYPE.test(sent)))
    throw invalid(`${path}.source.media_type`, 'must be a media type, such as "text/csv"');
  if (kind === "image") return imageMediaType(path, sent, bytes);
  if (kind === "file") return sent ?? "application/octet-stream";
  if (type === "text") return "text/plain";
  const pdf = Buffer.from(bytes.subarray(0, 1024)).includes("%PDF-");
  if (sent !== "application/pdf")
    throw invalid(
      `${path}.source.media_type`,
      'of a document in base64 must be "application/pdf"; send text as {"type":"text"}, and anything else as a block of the type "file"',
    );
  if (!pdf) throw invalid(path, "is not a PDF, by its content");
  return sent;
}

function imageMediaType(path: string, sent: string | undefined, bytes: Uint8Array): string {
  const image = imageTypeOf(bytes);
  if (!image)
    throw invalid(
      path,
      'is not a PNG, JPEG, GIF or WebP, by its content; send it as a block of the type "file"',
    );
  const { mediaType, width, height } = image;
  if (sent !== undefined && sent !== mediaType)
    throw invalid(`${path}.source.media_type`, `is ${sent}, but by its content the image is ${mediaType}`);
  if (Math.min(width, height) < 1 || Math.max(width, height) > MAX_SIDE)
    throw invalid(path, `has ${width} × ${height} pixels; an image may have 1 to ${MAX_SIDE} on each side`);
  return mediaType;
}

const ENDS: Readonly<Record<string, string>> = {
  ...{ "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp" },
  ...{ "application/pdf": ".pdf", "text/plain": ".txt" },
};

function nameOf({ kind, path, fields }: Block, { mediaType, from }: Content, position: number): string {
  const sent = fields["name"] ?? fields["title"] ?? undefined;
  if (sent !== undefined && typeof sent !== "string") throw invalid(`${path}.name`, "must be text");
  const name = safeName(sent ?? from?.name ?? "");
  if (name !== "") return name;
  if (kind === "file" && sent === undefined) throw invalid(`${path}.name`, "must be the file's name");
  return `${kind}-${position + 1}${ENDS[mediaType] ?? ""}`;
}
