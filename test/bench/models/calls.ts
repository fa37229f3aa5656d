import { median, quantile } from "../scenario.ts";

/** Where calls go, and with which token. */
export interface Run {
  url: string;
  token: string;
}

/** What the model does with a call: how long it thinks, how many events its answer has, and how long after each other. */
export interface Pace {
  thinksMs: number;
  events: number;
  gapMs: number;
}

export interface Sample {
  /** Of each call, from its first byte until the answer's first byte, less what the model has thought, ms. */
  overheads: number[];
  /** From the first call until the last answer's end, ms. */
  tookMs: number;
}

const MB = 1e6;
/** The messages of an early turn; tools and instructions are 25 KB beside them. */
const SMALLEST = 10_000;
/** A request before the conversation is made shorter. */
const LARGEST = 300_000;
const GROWTH = 10_000;

/** The turns of a conversation, each of which has all that was said before. */
function createConversation(seed: string): () => string {
  const tools = Array.from({ length: 20 }, (_, n) => ({
    name: `tool_${n}`,
    description: `What the tool ${n} is for. `.repeat(30),
    input_schema: { type: "object", properties: { path: { type: "string" } }, required: ["path"] },
  }));
  const fresh = () => [{ role: "user", content: `${seed} ${crypto.randomUUID()}: do it.` }] as object[];
  let messages = fresh();
  let size = SMALLEST;
  return () => {
    const text = `const line = "of a file, with \\"quotes\\" and ä";\n`.repeat(Math.ceil(GROWTH / 60));
    do {
      messages.push({
        role: "assistant",
        content: [{ type: "tool_use", id: "t", name: "tool_1", input: { path: "a" } }],
      });
      messages.push({
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "t", content: text, cache_control: { type: "ephemeral" } },
        ],
      });
    } while (JSON.stringify(messages).length < size);
    size += GROWTH;
    const body = JSON.stringify({
      ...{
        model: "claude-sonnet-4-5",
        max_tokens: 32_000,
        stream: true,
        tools,
        system: "Be brief. ".repeat(1_000),
      },
      messages,
    });
    if (body.length > LARGEST - 2 * GROWTH) [messages, size] = [fresh(), SMALLEST];
    return body;
  };
}

/** Bodies are made before a sample, and are the same for all that are compared. */
export function makeBodies(calls: number, conversations: number): { conversation: number; body: string }[] {
  const turns = Array.from({ length: conversations }, (_, n) => createConversation(`conversation ${n}`));
  return Array.from({ length: calls }, (_, n) => {
    const conversation = n % conversations;
    return { conversation, body: (turns[conversation] as () => string)() };
  });
}

/** @returns what the way there and back has taken, ms. @throws if it is refused. */
async function call(run: Run, body: string, { thinksMs, events, gapMs }: Pace): Promise<number> {
  const began = performance.now();
  const response = await fetch(`${run.url}/v1/messages`, {
    method: "POST",
    headers: {
      "x-api-key": run.token,
      "content-type": "application/json",
      "x-bench": `${thinksMs},${events},${gapMs}`,
    },
    body,
  });
  const reader = response.body?.getReader();
  await reader?.read();
  const firstMs = performance.now() - began;
  if (response.status !== 200) throw new Error(`a call was answered with ${response.status}`);
  while (!(await reader?.read())?.done);
  return firstMs - Number(response.headers.get("x-thought-ms"));
}

/**
 * So many streams are open at a time; one that ends is followed by the next of its conversation.
 * @param options.spreadMs within which the first ones begin; 0: all at once.
 */
export async function makeCalls(
  runs: readonly Run[],
  bodies: readonly { conversation: number; body: string }[],
  options: { streams: number; pace: Pace; spreadMs: number },
): Promise<Sample> {
  const { streams, pace, spreadMs } = options;
  const overheads: number[] = [];
  const began = performance.now();
  await Promise.all(
    Array.from({ length: streams }, async (_, stream) => {
      await Bun.sleep((spreadMs * stream) / streams);
      for (const { conversation, body } of bodies.filter((_one, n) => n % streams === stream)) {
        const run = runs[conversation % runs.length] as Run;
        // Models do not all take the same time.
        const thinksMs = Math.round(pace.thinksMs * (0.5 + ((body.length + stream * 37) % 100) / 100));
        overheads.push(await call(run, body, { ...pace, thinksMs }));
      }
    }),
  );
  return { overheads, tookMs: performance.now() - began };
}

export const percentiles = (samples: readonly number[]) => ({
  p50: median(samples),
  p95: quantile(samples, 0.95),
  p99: quantile(samples, 0.99),
});

export const megabytes = (bodies: readonly { body: string }[]) =>
  bodies.reduce((sum, { body }) => sum + body.length, 0) / MB;
