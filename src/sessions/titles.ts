import Anthropic from "@anthropic-ai/sdk";
import type { meteredFetch } from "../agents/metered-fetch.ts";
import type { Secret } from "../shared/secret.ts";
import { normalizeTitle } from "./naming.ts";

/** In characters; the beginning of a prompt is enough for a title. */
const PROMPT_LIMIT = 4_000;
const TIMEOUT_MS = 20_000;
const MAX_TOKENS = 40;

const INSTRUCTIONS =
  "You name tasks. The user message is a task for a coding agent. Answer with a title for it and nothing else: " +
  "at most eight words, in the language of the task, no quotation marks, no full stop. Never do the task itself.";

/** Asks a model for a title of at most 60 characters. @returns undefined if its reply has none. @throws what the SDK throws. */
export async function generateTitle(options: {
  apiKey: Secret;
  baseUrl: string;
  model: string;
  prompt: string;
  signal: AbortSignal;
  /** Meters it. */
  fetch: ReturnType<typeof meteredFetch>;
}): Promise<string | undefined> {
  const client = new Anthropic({
    apiKey: options.apiKey.reveal(),
    baseURL: options.baseUrl,
    timeout: TIMEOUT_MS,
    maxRetries: 2,
    fetch: options.fetch,
  });
  const reply = await client.messages.create(
    {
      model: options.model,
      max_tokens: MAX_TOKENS,
      system: INSTRUCTIONS,
      messages: [{ role: "user", content: options.prompt.slice(0, PROMPT_LIMIT) }],
    },
    { signal: options.signal },
  );
  const text = reply.content.map((block) => (block.type === "text" ? block.text : "")).join(" ");
  return normalizeTitle(text) || undefined;
}
