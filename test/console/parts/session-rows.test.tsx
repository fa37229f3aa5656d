import { afterAll, describe, expect, test } from "bun:test";
import { renderToStaticMarkup } from "react-dom/server";
import type { MessageDto } from "../../../sdk/src/index.ts";
import { readAnsi } from "../../../src/console/session/ansi.ts";
import { Prose } from "../../../src/console/session/markdown.tsx";
import { PromptRows } from "../../../src/console/session/rows/prompt-rows.ts";
import type { SaidRow } from "../../../src/console/session/rows/row.ts";
import { promptText } from "../../../src/console/ui/prompt-text.ts";

// Where the console's client finds its service.
Object.assign(globalThis, { location: { origin: "http://127.0.0.1:1" } });
afterAll(() => void Reflect.deleteProperty(globalThis, "location"));
const { Said } = await import("../../../src/console/session/items/said.tsx");

const AT = "2026-01-01T00:00:00.000Z";
const PNG = "iVBORw0KGgo=";

/** What the page makes of these events. */
function rowsOf(...events: unknown[]): readonly SaidRow[] {
  const prompt = new PromptRows();
  for (const [index, data] of events.entries()) prompt.add(message(index + 1, data));
  prompt.commit();
  return prompt.rows;
}
const message = (seq: number, data: unknown, attempt = 1): MessageDto => ({
  ...{ id: `m${seq}`, prompt_id: "p", seq, data, attempt, superseded: false, created_at: AT, updated_at: AT },
});
const assistant = (...content: unknown[]) => ({ type: "assistant", message: { role: "assistant", content } });
const user = (...content: unknown[]) => ({ type: "user", message: { role: "user", content } });
const use = (name: string, input: unknown, id = "t1") => ({ type: "tool_use", id, name, input });
const result = (content: unknown, more: object = {}, id = "t1") => ({
  ...{ type: "tool_result", tool_use_id: id, content },
  ...more,
});

describe("what agents print becomes rows", () => {
  test("texts, thinking, and calls with their results", () => {
    const rows = rowsOf(
      assistant({ type: "thinking", thinking: "hm" }),
      assistant({ type: "text", text: "I look." }, use("Bash", { command: "ls" })),
      user(result("a.txt", { is_error: true })),
      { type: "result", is_error: false, num_turns: 2, duration_ms: 1500, result: "I look." },
    );
    expect(rows.map((row) => [row.key, row.kind])).toEqual([
      ["1.0", "thinking"],
      ["2.0", "text"],
      ["2.1", "tool"],
      ["4.0", "result"],
    ]);
    expect(rows[2]).toMatchObject({ name: "Bash", result: { text: "a.txt", failed: true } });
    expect(rows[3]).toMatchObject({ failed: false, text: undefined, turns: 2, durationMs: 1500 });
  });

  test("questions, what was said meanwhile, plans and turns; the end of a question is no row", () => {
    const input = { file_path: "a.ts", old_string: "1", new_string: "2" };
    const plan = (content: string) => ({ type: "system", subtype: "plan", entries: [{ content }] });
    const rows = rowsOf(
      plan("one"),
      { type: "system", subtype: "permission_request", request_id: "q", tool: "Edit", input, title: "T" },
      { type: "system", subtype: "permission_answered", request_id: "q", decision: "allow" },
      { ...user({ type: "text", text: "Mind the tests" }), steer_id: "s" },
      { type: "system", subtype: "turn_result", is_error: false, num_turns: 1, duration_ms: 10 },
      plan("two"),
      { type: "system", subtype: "line_left_out", bytes: 5 },
    );
    expect(rows).toMatchObject([
      { kind: "plan", outdated: true },
      {
        kind: "question",
        requestId: "q",
        tool: "Edit",
        title: "T",
        file: "a.ts",
        edit: [{ lines: ["-1", "+2"] }],
      },
      { kind: "steer", steerId: "s", text: "Mind the tests", pending: false },
      { kind: "result", ofTurn: true, failed: false, turns: 1 },
      { kind: "plan", outdated: false, entries: [{ content: "two" }] },
      { kind: "note", title: "line left out" },
    ]);
  });

  /** Cause: the end of a question was no row, though nobody had seen the question. */
  test("what was denied without asking is a note, what is allowed for the run is none", () => {
    const answered = (decision: string, more: object) => ({
      ...{ type: "system", subtype: "permission_answered", request_id: "q", decision, ...more },
    });
    const rows = rowsOf(
      answered("deny", { tool: "Bash", reason: "Too many." }),
      answered("allow_run", { tool: "Bash" }),
    );
    expect(rows).toMatchObject([{ kind: "note", title: "Denied without asking: Bash" }]);
  });

  /** Cause: these were the only texts of an agent's in which what nobody sees was not written out. */
  test("plans and titles write out what would not be seen", () => {
    const [plan, note, thinking] = rowsOf(
      { type: "system", subtype: "plan", entries: [{ content: "a\u202eb", status: { toString: 1 } }] },
      { type: "system", subtype: "x\u202ey" },
      assistant({ type: "thinking", thinking: "c\u200bd" }),
    ).map((row) => renderToStaticMarkup(<Said row={row} />));
    expect(plan).toContain("a⟨U+202E⟩b");
    expect(plan).toContain("(to do)");
    expect(note).toContain("x⟨U+202E⟩y");
    expect(thinking).toContain("Thinking: c⟨U+200B⟩d");
  });

  /** Cause: a question showed 1,500 lines of an edit, and did not say that there were more: what is allowed has to be seen. */
  test("a question about an edit that is too long to be shown as one shows its whole input", () => {
    const made = `${"x\n".repeat(2_000)}evil()`;
    const input = { file_path: "/a.ts", old_string: "a", new_string: made };
    const [row] = rowsOf({
      type: "system",
      subtype: "permission_request",
      request_id: "q",
      tool: "Edit",
      input,
    });
    if (row?.kind !== "question") throw new Error("no question");
    const short = { ...row, edit: row.edit?.map((one) => ({ ...one, lines: one.lines.slice(0, 3) })) };
    const shown = [row, short].map((one) => renderToStaticMarkup(<Said row={one} />));
    expect(shown.map((html) => html.includes("old_string"))).toEqual([true, false]);
  });

  test("a result without its call stands alone, and a second one too", () => {
    const rows = rowsOf(
      user(result("early", {}, "t9")),
      assistant(use("Bash", {})),
      user(result("1")),
      user(result("2")),
    );
    expect(rows.map(({ kind }) => kind)).toEqual(["output", "tool", "output"]);
  });

  test.each([
    [null],
    [undefined],
    [42],
    [[1, 2]],
    [{}],
    [{ type: 7 }],
    [{ type: "assistant" }],
    [{ type: "assistant", message: null }],
    [{ type: "assistant", message: { content: 5 } }],
    [assistant()],
    [assistant({ type: "hologram", data: 1 })],
    [{ type: "novel", payload: { deep: [1] } }],
    [{ __proto__: null, type: "system", subtype: null }],
  ])("%j, which no agent is known to print, is a folded note", (data) => {
    expect(rowsOf(data).map(({ kind }) => kind)).toEqual(["note"]);
  });

  test.each([
    ["a plain text", "text", "a plain text"],
    [{ type: "assistant", message: { role: "assistant", content: "by string" } }, "text", "by string"],
    [assistant("bare"), "text", "bare"],
    [user({ type: "text", text: "from the CLI" }), "told", "from the CLI"],
  ])("%j is text", (data, kind, text) => {
    expect(rowsOf(data)).toMatchObject([{ kind, text }]);
  });

  test("work that was started over is marked so, and its calls take no more results", () => {
    const prompt = new PromptRows();
    prompt.add(message(1, assistant(use("Bash", {}))));
    prompt.add(message(2, user(result("of the second attempt")), 2));
    prompt.commit();
    expect(prompt.rows.map(({ kind, superseded }) => [kind, superseded])).toEqual([
      ["tool", true],
      ["output", false],
    ]);
  });

  test("rows that were not changed stay the same objects", () => {
    const prompt = new PromptRows();
    prompt.add(message(1, assistant({ type: "text", text: "one" })));
    prompt.commit();
    const [first] = prompt.rows;
    prompt.add(message(2, assistant({ type: "text", text: "two" })));
    prompt.commit();
    expect(prompt.rows[0]).toBe(first as SaidRow);
  });
});

describe("edits are shown as changes", () => {
  const edited = (input: object, toolUseResult?: unknown) =>
    rowsOf(assistant(use("Edit", { file_path: "a.ts", ...input })), {
      ...user(result("ok")),
      tool_use_result: toolUseResult,
    })[0];

  test("by the lines that differ", () => {
    expect(edited({ old_string: "a\nb\nc\n", new_string: "a\nB\nc\nd\n" })).toMatchObject({
      edit: [{ lines: [" a", "-b", "+B", " c", "+d"] }],
    });
  });
  test("with the numbers of Claude Code's own patch, where it was stored whole", () => {
    const patch = { oldStart: 10, newStart: 10, lines: ["-x", "+y"] };
    const input = { old_string: "x", new_string: "y" };
    expect(edited(input, { structuredPatch: [patch] })).toMatchObject({ edit: [patch] });
    expect(edited(input, "[9000 characters left out]")).toMatchObject({ edit: [{ lines: ["-x", "+y"] }] });
    expect(edited(input, { structuredPatch: [{ lines: [1] }] })).toMatchObject({
      edit: [{ lines: ["-x", "+y"] }],
    });
  });
});

test("a file is linked where it is in the repository", () => {
  const fileOf = (path: string) =>
    (
      rowsOf(
        { type: "system", subtype: "init", cwd: "/w" },
        assistant(use("Read", { file_path: path })),
      )[1] as {
        file?: string;
      }
    ).file;
  expect(fileOf("/w/src/a.ts")).toBe("src/a.ts");
  expect(fileOf("/etc/passwd")).toBeUndefined();
  expect(fileOf("../../etc/passwd")).toBeUndefined();
});

test("images are of four types, whole, and come from nowhere else", () => {
  const imagesOf = (source: object) =>
    rowsOf(user(result([{ type: "image", source }])))[0] as { result?: unknown } | undefined;
  const good = { type: "base64", media_type: "image/png", data: PNG };
  expect(imagesOf(good)).toMatchObject({ result: { images: [{ src: `data:image/png;base64,${PNG}` }] } });
  for (const bad of [
    { ...good, media_type: "image/svg+xml" },
    { ...good, data: `${PNG}… [9 more characters left out]` },
    { ...good, data: "A".repeat(8_000_001) },
    { type: "url", url: "https://evil.example/x.png" },
  ])
    expect(imagesOf(bad)).toMatchObject({ result: { images: [], notes: [expect.any(String)] } });
});

test("a terminal's colours are classes, and its other sequences are nothing", () => {
  expect(readAnsi("\x1b[1;31mred\x1b[0m plain\x1b]0;title\x07\x1b[2K\x1b[38;2;1;2;3mtrue\x1b[0m")).toEqual([
    { text: "red", className: "ansi-bold ansi-red" },
    { text: " plain", className: undefined },
    { text: "true", className: undefined },
  ]);
  expect(readAnsi("10 %\r50 %\r100 %\ndone\r\n")).toEqual([{ text: "100 %\ndone\n", className: undefined }]);
});

test("the text of a prompt is found in every form that clients send", () => {
  for (const data of [
    "hi",
    { content: "hi" },
    [{ type: "text", content: "hi" }],
    { message: { text: "hi" } },
  ])
    expect(promptText(data)).toBe("hi");
  expect(promptText([{ content: "a" }, { text: "b" }])).toBe("a\n\nb");
  expect(promptText(null)).toBe("");
});

describe("markdown is hostile", () => {
  const html = (text: string) => renderToStaticMarkup(<Prose text={text} />);

  test.each([
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "<javascript:alert(1)>",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
  ])("%s leads nowhere", (text) => {
    expect(html(text)).not.toMatch(/href|src=/);
  });
  test.each([
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<style>*{}</style>",
  ])("%s is text", (text) => {
    expect(html(text)).not.toMatch(/<(script|img|svg|style)/);
    expect(html(`a ${text} b`)).toContain("&lt;");
  });
  test("an image from elsewhere is a link, which tells nothing of the page", () => {
    const found = html("![chart](https://example.com/x.png)");
    expect(found).not.toContain("<img");
    expect(found).toContain('href="https://example.com/x.png"');
    expect(found).toContain('rel="noopener noreferrer nofollow"');
  });
  test("an image that it has itself is shown", () => {
    const image = html(`![x](data:image/png;base64,${PNG})`);
    expect(image).toMatch(/<img [^>]*src="data:image\/png;base64,iVBORw0KGgo=" alt="x"/);
  });
});
