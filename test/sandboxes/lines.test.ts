import { expect, test } from "bun:test";
import { CUT_MARK, LINE_LIMIT, linesOf, tailOf } from "../../src/sandboxes/lines.ts";

const stream = (...parts: (string | Uint8Array<ArrayBuffer>)[]) => {
  const body = parts.map((part) => (typeof part === "string" ? new TextEncoder().encode(part) : part));
  return new ReadableStream<Uint8Array>({
    start(controller) {
      for (const part of body) controller.enqueue(part);
      controller.close();
    },
  });
};

test("lines over chunks, empty lines, and the last one without its newline", async () => {
  expect(await Array.fromAsync(linesOf(stream("a", "b\n\nc\nd")))).toEqual(["ab", "", "c", "d"]);
  expect(await Array.fromAsync(linesOf(stream("a\n")))).toEqual(["a"]);
});

test("characters cut by a chunk's end, and bytes that are no UTF-8", async () => {
  expect(
    await Array.fromAsync(linesOf(stream(new Uint8Array([0xc3]), new Uint8Array([0xa9, 0x0a, 0xff])))),
  ).toEqual(["é", "\ufffd"]);
});

test("a line over the limit is cut and marked, the next one is whole", async () => {
  const half = "x".repeat(LINE_LIMIT / 2);
  const [exact, long, next] = await Array.fromAsync(linesOf(stream(half, half, "\n", half, half, "y\nz")));
  expect(exact).toBe(half + half);
  expect(long).toBe(half + half + CUT_MARK);
  expect(next).toBe("z");
});

test("the tail of stderr", async () => {
  expect(await tailOf(stream("abc", "def"), 4)).toBe("cdef");
});
