import { describe, expect, test } from "bun:test";
import { problemsTogether } from "../../../src/console/attachments/limits.ts";
import { sentAttachments, withText } from "../../../src/console/attachments/sent-attachments.ts";

const MIB = 1024 * 1024;
const ID = "01900000-0000-7000-8000-000000000001";
const block = (more: object = {}) => ({
  type: "image",
  name: "a.png",
  source: { type: "attachment", id: ID, media_type: "image/png", bytes: 7 },
  ...more,
});

describe("attachments in the console", () => {
  test("what does not fit beside those before it is told so, and a smaller one after it fits", () => {
    expect(problemsTogether([5 * MIB, 15 * MIB, 1])).toEqual([
      undefined,
      undefined,
      expect.stringContaining("more than 21.0 MB"),
    ]);
    expect(problemsTogether([15 * MIB, 6 * MIB, 5 * MIB]).map((one) => one === undefined)).toEqual([
      true,
      false,
      true,
    ]);
    const many = problemsTogether(new Array<number>(21).fill(1));
    expect(many.slice(0, 20)).toEqual(new Array(20).fill(undefined));
    expect(many[20]).toContain("20 attachments");
  });

  test("what came with a prompt is found where the service looks for it, and nowhere else", () => {
    const found = { id: ID, image: true, name: "a.png", bytes: 7 };
    for (const data of [
      [{ type: "text", content: [{ type: "text", text: "x" }, block()] }],
      { prompt: [block()] },
      [block()],
    ])
      expect(sentAttachments(data)).toEqual([found]);
    for (const data of [
      "text",
      null,
      { other: [block()] },
      { content: "x", message: [block()] },
      [block({ source: { type: "attachment", id: "../sessions" } })],
      [block({ source: "attachment" })],
    ])
      expect(sentAttachments(data)).toEqual([]);
  });

  test("another text keeps what came with the prompt", () => {
    expect(withText([{ type: "text", content: "old" }], "new")).toEqual([{ type: "text", content: "new" }]);
    const data = [{ type: "text", content: [{ type: "text", text: "old" }, block()] }];
    const kept = [{ type: "text", content: [{ type: "text", text: "new" }, block()] }];
    expect<unknown>(withText(data, "new")).toEqual(kept);
  });
});
