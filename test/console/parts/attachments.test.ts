import { describe, expect, test } from "bun:test";
import { AttachedFiles } from "../../../src/console/attachments/attached-files.ts";
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

  /** Cause: a page that was left while a picture was read kept its URL, and the picture, for as long as the window was open. */
  test("a picture that is read after its page was left has no URL any more, and is sent all the same", async () => {
    const urls = new Set<string>();
    const decoded = Promise.withResolvers<void>();
    const { createObjectURL, revokeObjectURL } = URL;
    const globals = {
      FileReader: class {
        onload = () => undefined;
        result = "data:;base64,iVBORw0KGgo=";
        readAsDataURL = () => queueMicrotask(() => this.onload());
      },
      Image: class {
        decode = () => decoded.promise;
        naturalWidth = 1;
        naturalHeight = 1;
      },
    };
    Object.assign(globalThis, globals);
    URL.createObjectURL = () => {
      urls.add("blob:1");
      return "blob:1";
    };
    URL.revokeObjectURL = (url) => void urls.delete(url);
    try {
      const attached = new AttachedFiles();
      attached.add([new File(["x"], "a.png")]);
      const read = Promise.withResolvers<void>();
      attached.subscribe(() => !attached.getSnapshot().files[0]?.reading && read.resolve());
      attached.dispose();
      decoded.resolve();
      await read.promise;
      expect([...urls]).toEqual([]);
      const sent = attached.send({ text: "Look", key: "k" }, async (content) => content);
      expect(await sent).toMatchObject([{ text: "Look" }, { type: "image", name: "a.png" }]);
    } finally {
      Object.assign(URL, { createObjectURL, revokeObjectURL });
      for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name);
    }
  });

  test("another text keeps what came with the prompt", () => {
    expect(withText([{ type: "text", content: "old" }], "new")).toEqual([{ type: "text", content: "new" }]);
    const data = [{ type: "text", content: [{ type: "text", text: "old" }, block()] }];
    const kept = [{ type: "text", content: [{ type: "text", text: "new" }, block()] }];
    expect<unknown>(withText(data, "new")).toEqual(kept);
  });
});
