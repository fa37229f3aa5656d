/**
 * The same stream, except that it closes when the original fails: the agent notices the missing end event in either case,
 * and Bun would print an error here, outside the log.
 */
export function relay(
  body: ReadableStream<Uint8Array>,
  on: {
    onChunk: (chunk: Uint8Array) => void;
    onError: (error: unknown) => void;
    onEnd: (how: "whole" | "broken") => void;
  },
): ReadableStream {
  const reader = body.getReader();
  const source = {
    async pull(controller: ReadableStreamDefaultController<Uint8Array>) {
      let how: "whole" | "broken" = "whole";
      try {
        const { done, value } = await reader.read();
        if (!done) {
          controller.enqueue(value);
          return on.onChunk(value);
        }
      } catch (error) {
        how = "broken";
        on.onError(error);
      }
      on.onEnd(how);
      controller.close();
    },
    cancel(reason: unknown) {
      on.onEnd("broken");
      return reader.cancel(reason);
    },
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}
