import { createHash } from "node:crypto";

/**
 * What an account of Anthropic's API would be billed for what a scripted model has answered, in arithmetic and prices of its own:
 * tests compare it with what the service has counted.
 *
 * One thing is agreed on beforehand, or no estimate could be compared with anything: a token is four characters of an answer, and four
 * bytes of a request.
 */
export interface ModelBill {
  /** A request that the API takes: what its input is, after what it has cached. */
  take(request: { body: Record<string, unknown>; bytes: number; label: string; hour: boolean }): BilledAnswer;
  /** A request that costs nothing: an error, or counted tokens. */
  free(why: string): void;
  readonly calls: readonly BilledCall[];
  readonly freeCalls: ReadonlyMap<string, number>;
}

export interface BilledAnswer {
  /** The `usage` of message_start, and with the output so far that of message_delta, which is cumulative. */
  usage(output: number): Record<string, unknown>;
  /** @param characters of the answer that were generated. @param unseen tokens that were, and are none of its characters. */
  end(how: BilledCall["how"], said: { model: string; characters: number; unseen: number }): void;
}

export interface BilledCall {
  label: string;
  model: string;
  /** whole: delivered to its end.  cut: broken off by the API.  left: its client went away.  refused: with no output, which is free. */
  how: "whole" | "cut" | "left" | "refused";
  tokens: { input: number; output: number; cacheRead: number; cacheWrite5m: number; cacheWrite1h: number };
  dollars: number;
}

const TOKEN_SIZE = 4;
const CACHE_MS = 5 * 60_000;
/** US dollars for a million tokens, as Anthropic's page of prices has them. */
const DOLLARS: Readonly<Record<string, { input: number; output: number }>> = {
  "claude-opus-4-5": { input: 5, output: 25 },
  "claude-sonnet-4-5": { input: 3, output: 15 },
  "claude-haiku-4-5": { input: 1, output: 5 },
  // What Claude Code calls haiku; with less than 100,000 tokens of input.
  "claude-haiku-5-5": { input: 0.1, output: 0.5 },
};
/** Of the price of input. */
const CACHE_READ = 0.1;
const CACHE_WRITE_5M = 1.25;
const CACHE_WRITE_1H = 2;
/** What Anthropic puts behind the name of a model. */
const SNAPSHOT = /-\d{8}$/;

/** The name of a model without its day. */
export const modelName = (model: string): string => model.replace(SNAPSHOT, "");

/** Tokens of an answer's characters. */
export const tokensOf = (characters: number): number => Math.ceil(characters / TOKEN_SIZE);

export function openBill(): ModelBill {
  const calls: BilledCall[] = [];
  const freeCalls = new Map<string, number>();
  /** What is cached, by model and beginning of the input: how many tokens that has, and until when. */
  const cached = new Map<string, { tokens: number; until: number }>();

  return {
    calls,
    freeCalls,
    free: (why) => void freeCalls.set(why, (freeCalls.get(why) ?? 0) + 1),
    take({ body, bytes, label, hour }) {
      const all = tokensOf(bytes);
      const model = String(body["model"]);
      priceOf(model);
      const parts = partsOf(body);
      // What is no part, such as names of settings, stands for what the API adds before all of them.
      let tokens = all - parts.reduce((sum, { size }) => sum + Math.floor(size / TOKEN_SIZE), 0);
      const hash = createHash("sha256").update(model);
      const marks = parts.map(({ text, size, isMarked }) => {
        hash.update(text);
        tokens += Math.floor(size / TOKEN_SIZE);
        return { key: hash.copy().digest("base64"), tokens, isMarked };
      });
      const now = Date.now();
      const last = marks.findLastIndex(({ isMarked }) => isMarked);
      const candidates = marks.slice(0, last + 1);
      const hit = candidates.findLast(({ key }) => (cached.get(key)?.until ?? 0) > now);
      const cacheRead = Math.min(hit ? (cached.get(hit.key)?.tokens ?? 0) : 0, all);
      const written = Math.max((candidates.at(-1)?.tokens ?? 0) - cacheRead, 0);
      for (const one of candidates)
        if (one.isMarked || one === hit) cached.set(one.key, { tokens: one.tokens, until: now + CACHE_MS });
      const [cacheWrite5m, cacheWrite1h] = hour ? [0, written] : [written, 0];
      const input = all - cacheRead - written;
      return {
        usage: (output) => ({
          input_tokens: input,
          output_tokens: output,
          cache_read_input_tokens: cacheRead,
          cache_creation_input_tokens: written,
          cache_creation: {
            ephemeral_5m_input_tokens: cacheWrite5m,
            ephemeral_1h_input_tokens: cacheWrite1h,
          },
          service_tier: "standard",
        }),
        end(how, said) {
          const output = tokensOf(said.characters) + said.unseen;
          const counted = { input, output, cacheRead, cacheWrite5m, cacheWrite1h };
          const dollars = how === "refused" ? 0 : dollarsOf(said.model, counted);
          calls.push({ label, model: said.model, how, tokens: counted, dollars });
        },
      };
    },
  };
}

export function priceOf(model: string): { input: number; output: number } {
  const price = DOLLARS[modelName(model)];
  if (!price) throw new Error(`the bill has no price of ${model}`);
  return price;
}

function dollarsOf(model: string, tokens: BilledCall["tokens"]): number {
  const price = priceOf(model);
  const inputs =
    tokens.input +
    tokens.cacheRead * CACHE_READ +
    tokens.cacheWrite5m * CACHE_WRITE_5M +
    tokens.cacheWrite1h * CACHE_WRITE_1H;
  return (inputs * price.input + tokens.output * price.output) / 1_000_000;
}

/** The parts of the input in the order in which the API caches them: tools, instructions, conversation. */
function partsOf(body: Record<string, unknown>): { text: string; size: number; isMarked: boolean }[] {
  const messages = listOf(body["messages"]).flatMap((message) => {
    const { role, content } = message as { role: string; content: unknown };
    const blocks = typeof content === "string" ? [{ type: "text", text: content }] : listOf(content);
    return blocks.map((block) => ({ role, block }));
  });
  const system = typeof body["system"] === "string" ? [{ text: body["system"] }] : listOf(body["system"]);
  return [...listOf(body["tools"]), ...system, ...messages].map((part) => {
    const isMarked = JSON.stringify(part).includes('"cache_control"');
    const text = JSON.stringify(part, (key, value) => (key === "cache_control" ? undefined : value));
    return { text, size: Buffer.byteLength(text), isMarked };
  });
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
