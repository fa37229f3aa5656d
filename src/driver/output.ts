import { once } from "node:events";

/** The driver's stdout: one JSON event a line. */
export interface Output {
  print(event: Record<string, unknown>): void;
  /** A line that is JSON already. */
  printLine(line: string): void;
  /** Resolves when the reader has taken enough for more: await it before more is read from the agent. */
  ready(): Promise<void>;
  /** Resolves when everything is written. */
  flush(): Promise<void>;
}

export type OutputStream = Pick<NodeJS.WriteStream, "write" | "writableNeedDrain"> & NodeJS.EventEmitter;

export function createOutput(stream: OutputStream): Output {
  const printLine = (line: string) => void stream.write(`${line}\n`);
  return {
    print: (event) => printLine(JSON.stringify({ ...event, uuid: event["uuid"] ?? crypto.randomUUID() })),
    printLine,
    async ready() {
      if (stream.writableNeedDrain) await once(stream, "drain");
    },
    flush: () => new Promise((resolve) => void stream.write("", () => resolve())),
  };
}

/** An assistant's message with one block. */
export const assistant = (block: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  type: "assistant",
  message: { role: "assistant", content: [block] },
  ...more,
});
