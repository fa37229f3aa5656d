import type { Cluster } from "./cluster.ts";
import type { Random } from "./random.ts";

/** A reader of a session's live stream that reconnects at random, to any server, and logs the events it receives. */
export interface Reader {
  sessionId: string;
  /** Id and data of each message event, unchanged. */
  log: { id: number; data: string }[];
  stop(): Promise<void>;
}

export function follow(
  cluster: Cluster,
  options: { sessionId: string; token: string; random: Random },
): Reader {
  const { sessionId, token, random } = options;
  const log: Reader["log"] = [];
  const end = new AbortController();
  const servers = cluster.nodes.filter((node) => node.serves);

  const once = async (signal: AbortSignal) => {
    const last = log.at(-1)?.id;
    const reply = await fetch(`${random.pick(servers).url}/sessions/${sessionId}/events`, {
      headers: {
        authorization: `Bearer ${token}`,
        ...(last !== undefined && { "last-event-id": String(last) }),
      },
      signal,
    });
    if (!reply.ok || !reply.body) return;
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of reply.body) {
      const frames = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
      // The last part may be incomplete.
      rest = frames.pop() ?? "";
      for (const frame of frames) {
        const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, "m").exec(frame)?.[1];
        if (field("event") === "message") log.push({ id: Number(field("id")), data: field("data") ?? "" });
      }
    }
  };
  const done = (async () => {
    while (!end.signal.aborted) {
      const leave = AbortSignal.timeout(500 + random.below(15_000));
      await once(AbortSignal.any([leave, end.signal])).catch(() => undefined);
      await Bun.sleep(100 + random.below(400));
    }
  })();
  return {
    sessionId,
    log,
    async stop() {
      end.abort();
      await done;
    },
  };
}
