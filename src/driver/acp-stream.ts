import type { AnyMessage, Stream } from "@agentclientprotocol/sdk";
import { parseObject } from "../agents/events.ts";
import { asObject, type JsonObject } from "../shared/json.ts";
import type { AgentChild } from "./child.ts";
import { linesOf } from "./lines.ts";
import type { Output } from "./output.ts";

export interface AcpStream extends Stream {
  /** Resolves when the agent's stdout has ended. */
  readonly ended: Promise<void>;
}

/**
 * The messages of an agent for the library. Updates of the session go to `onUpdate` instead, in order with the replies:
 * they are read no faster than they are printed, and kinds that the library does not know yet are no mistakes.
 */
export function openAcpStream(options: {
  child: AgentChild;
  output: Output;
  onUpdate: (update: JsonObject) => void;
  /** The result of any of our requests, as it came: the library leaves out what is not stable yet. */
  onResult: (result: JsonObject) => void;
}): AcpStream {
  const { child, output, onUpdate, onResult } = options;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const lines = linesOf(child.stdout);
  const readable = new ReadableStream<AnyMessage>(
    {
      async pull(controller) {
        for (;;) {
          await output.ready();
          await child.ready();
          const { value: line, done } = await lines.next();
          if (done) {
            end();
            return controller.close();
          }
          if (typeof line === "number")
            output.print({ type: "system", subtype: "line_left_out", bytes: line });
          // Some agents print text of their own among the messages.
          const message = typeof line === "string" ? parseObject(line) : undefined;
          if (!message) continue;
          const update = asObject(asObject(message["params"])?.["update"]);
          if (message["method"] === "session/update") {
            if (update) onUpdate(update);
            continue;
          }
          const result = "method" in message ? undefined : asObject(message["result"]);
          if (result) onResult(result);
          return controller.enqueue(message as AnyMessage);
        }
      },
    },
    { highWaterMark: 0 },
  );
  const writable = new WritableStream<AnyMessage>({ write: (message) => child.send(message) });
  return { readable, writable, ended };
}
