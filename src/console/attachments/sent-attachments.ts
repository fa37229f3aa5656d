/** A reference to what came with a prompt. */
export interface SentAttachment {
  id: string;
  image: boolean;
  name: string;
  bytes: number | undefined;
}

type JsonObject = Record<string, unknown>;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** Where the service looks for the text and the attachments of a prompt; the first that is there counts. */
const FIELDS = ["content", "prompt", "text", "message"] as const;
const MAX_DEPTH = 64;

/** The blocks of a prompt's data that refer to attachments, as they stand there. */
function blocksIn(data: unknown, depth = 0): JsonObject[] {
  if (typeof data !== "object" || data === null || depth > MAX_DEPTH) return [];
  if (Array.isArray(data)) return data.flatMap((one) => blocksIn(one, depth + 1));
  const block = data as JsonObject;
  const { type, id } = (block["source"] ?? {}) as JsonObject;
  if (type === "attachment" && typeof id === "string" && UUID.test(id)) return [block];
  const field = FIELDS.find((one) => block[one] !== undefined && block[one] !== null);
  return field === undefined ? [] : blocksIn(block[field], depth + 1);
}

/** What came with a prompt, by its data. */
export const sentAttachments = (data: unknown): SentAttachment[] =>
  blocksIn(data).map(({ type, name, source }) => {
    const { id, bytes } = source as JsonObject;
    return {
      id: String(id),
      image: type === "image",
      name: typeof name === "string" ? name : "file",
      bytes: typeof bytes === "number" ? bytes : undefined,
    };
  });

/** A prompt's data with another text, and what came with it. */
export function withText(data: unknown, text: string) {
  const blocks = blocksIn(data) as { type: string; source: { type: "attachment"; id: string } }[];
  const texts = text.trim() === "" ? [] : [{ type: "text", text }];
  return [{ type: "text", content: blocks.length === 0 ? text : [...texts, ...blocks] }];
}
