import { type ModelBill, openBill, tokensOf } from "./model-bill.ts";

export type SpokenBlock = { text: string } | { tool: string; input: Record<string, unknown> };

/** What the API does with one request. */
export type BilledReply =
  | { status: number; type: string; retryAfter?: number }
  | {
      say: readonly SpokenBlock[];
      /** Its model's name in the answer, such as a snapshot, or another that took its place. Default: as it was asked for. */
      by?: string;
      /** What it writes to its cache is there for an hour. */
      hour?: boolean;
      /** It ends by a refusal. */
      refuses?: boolean;
      /** Called once, where the answer is at this many characters; -1: before it begins. The answer goes on when it resolves. */
      at?: { characters: number; happens: () => Promise<Ending | undefined> };
    };

/** How an answer ends there: the connection breaks, or an event says why. */
export type Ending = "cut" | "overloaded_error";

export interface BilledRequest {
  /** It is a message's request. */
  body: Record<string, unknown> & { stream?: boolean; tools?: { name: string }[]; messages: unknown[] };
  /** Its client has gone away. */
  disconnected: Promise<void>;
}

/** As fast as a model speaks: so much is generated, and never seen, when its client goes away. */
const PIECE_CHARACTERS = 20;
const PIECE_MS = 100;
/** Tokens at the end of each answer that are no characters. */
const UNSEEN_TOKENS = 37;

/** Anthropic's Messages API on loopback, as far as it costs money: it speaks at a model's speed, caches input, and keeps a bill. */
export function startBilledModel(options: {
  /** @returns with the label under which it is on the bill. */
  script: (request: BilledRequest) => BilledReply & { label: string };
}) {
  const bill = openBill();
  let open = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(incoming) {
      const { pathname } = new URL(incoming.url);
      const left = Promise.withResolvers<void>();
      incoming.signal.addEventListener("abort", () => left.resolve());
      const bytes = await incoming.bytes();
      if (pathname.endsWith("/count_tokens")) {
        bill.free("count_tokens");
        return Response.json({ input_tokens: tokensOf(bytes.length) });
      }
      if (incoming.method !== "POST") return new Response(null, { status: 404 });
      const body = JSON.parse(Buffer.from(bytes).toString("utf8")) as BilledRequest["body"];
      const reply = options.script({ body, disconnected: left.promise });
      if ("status" in reply) {
        bill.free(String(reply.status));
        return failure(reply);
      }
      open += 1;
      const answer = createAnswer({ bill, reply, body, bytes: bytes.length, signal: incoming.signal });
      void answer.ended.then(() => {
        open -= 1;
      });
      return await answer.response();
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    bill,
    /** Answers that have not ended. */
    open: () => open,
    stop: () => server.stop(true),
  };
}

function createAnswer(of: {
  bill: ModelBill;
  reply: Extract<BilledReply, { say: unknown }> & { label: string };
  body: BilledRequest["body"];
  bytes: number;
  signal: AbortSignal;
}) {
  const { bill, reply, body, bytes, signal } = of;
  const { say, by = String(body["model"]), hour = false, refuses = false, label } = reply;
  let { at } = reply;
  const billed = bill.take({ body, bytes, label, hour });
  const ended = Promise.withResolvers<void>();
  let characters = 0;
  let isOver = false;
  const end = (how: "whole" | "cut" | "left") => {
    if (isOver) return;
    isOver = true;
    const isFree = refuses && characters === 0 && how === "whole";
    billed.end(isFree ? "refused" : how, { model: by, characters, unseen: unseen(how) });
    ended.resolve();
  };
  const unseen = (how: string) => (how === "whole" && !refuses ? UNSEEN_TOKENS : 0);
  signal.addEventListener("abort", () => end("left"));
  /** Of what happens, how the answer ends. */
  const happens = async (): Promise<Ending | undefined> => {
    const what = at?.happens;
    at = undefined;
    return await what?.();
  };
  const usage = () => billed.usage(tokensOf(characters) + unseen("whole"));
  const stopReason = () => (refuses ? "refusal" : say.some((one) => "tool" in one) ? "tool_use" : "end_turn");
  const blocks = say.map((one) =>
    "text" in one
      ? { type: "text", text: one.text }
      : { type: "tool_use", id: `toolu_${crypto.randomUUID()}`, name: one.tool, input: one.input },
  );
  const message = {
    ...{ id: `msg_${crypto.randomUUID()}`, type: "message", role: "assistant", model: by },
    ...{ content: [] as unknown[], stop_reason: null as string | null, stop_sequence: null },
  };

  async function* spoken(): AsyncGenerator<Record<string, unknown>, Ending | undefined> {
    yield { type: "message_start", message: { ...message, usage: billed.usage(1) } };
    for (const [index, block] of blocks.entries()) {
      const isText = block.type === "text";
      const content_block = isText ? { type: "text", text: "" } : { ...block, input: {} };
      yield { type: "content_block_start", index, content_block };
      const all = "text" in block ? block.text : JSON.stringify(block.input);
      for (let from = 0; from < all.length; from += PIECE_CHARACTERS) {
        if (at && characters >= at.characters) {
          const ending = await happens();
          if (ending || isOver) return ending;
        }
        const piece = all.slice(from, from + PIECE_CHARACTERS);
        characters += piece.length;
        yield {
          ...{ type: "content_block_delta", index },
          delta: isText
            ? { type: "text_delta", text: piece }
            : { type: "input_json_delta", partial_json: piece },
        };
        await Bun.sleep(PIECE_MS);
        if (isOver) return undefined;
      }
      yield { type: "content_block_stop", index };
    }
    const delta = { stop_reason: stopReason(), stop_sequence: null };
    yield { type: "message_delta", delta, usage: usage() };
    yield { type: "message_stop" };
    return undefined;
  }

  async function* events(): AsyncGenerator<string> {
    const all = spoken();
    for (;;) {
      const { done, value } = await all.next();
      if (!done) {
        yield `event: ${value["type"]}\ndata: ${JSON.stringify(value)}\n\n`;
        continue;
      }
      if (value === "overloaded_error")
        yield `event: error\ndata: ${JSON.stringify({ type: "error", error: { type: value, message: "Overloaded" } })}\n\n`;
      end(value ? "cut" : "whole");
      if (value === "cut") throw new Error("the connection breaks");
      return;
    }
  }

  return {
    ended: ended.promise,
    async response(): Promise<Response> {
      if (at?.characters === -1) await happens();
      if (body.stream) return new Response(events(), { headers: { "content-type": "text/event-stream" } });
      characters = say.reduce(
        (sum, one) => sum + ("text" in one ? one.text.length : JSON.stringify(one.input).length),
        0,
      );
      end("whole");
      return Response.json({ ...message, content: blocks, stop_reason: stopReason(), usage: usage() });
    },
  };
}

function failure({ status, type, retryAfter }: { status: number; type: string; retryAfter?: number }) {
  return Response.json(
    { type: "error", error: { type, message: "Scripted." } },
    { status, headers: retryAfter === undefined ? {} : { "retry-after": String(retryAfter) } },
  );
}
