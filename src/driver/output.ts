/** How much may wait to be written before nothing more is read from the agent, characters. */
const WAITING = 1024 * 1024;

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

export interface OutputStream {
  write(text: string, done: () => void): unknown;
}

export function createOutput(stream: OutputStream): Output {
  let waiting = 0;
  let written = Promise.resolve();
  const printLine = (line: string) => {
    waiting += line.length;
    // In order, and one at a time: Bun's stdout says nothing of how much it has not written yet (1.4.5).
    written = written.then(
      () =>
        new Promise<void>((resolve) => {
          stream.write(`${line}\n`, () => {
            waiting -= line.length;
            resolve();
          });
        }),
    );
  };
  return {
    print: (event) => printLine(JSON.stringify({ ...event, uuid: event["uuid"] ?? crypto.randomUUID() })),
    printLine,
    async ready() {
      if (waiting > WAITING) await written;
    },
    flush: () => written,
  };
}

/** An assistant's message with one block. */
export const assistant = (block: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  type: "assistant",
  message: { role: "assistant", content: [block] },
  ...more,
});
