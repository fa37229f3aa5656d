import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AcpSpec, DriverSpec } from "../../src/agents/driver-spec.ts";
import { prepareConversations } from "../../src/driver/conversations.ts";
import { removeFolder } from "../harness/remove-folder.ts";

/** The files are as Gemini CLI 0.61.0 and opencode 1.18.33 leave them. */
async function openHome(conversations: AcpSpec["conversations"]) {
  const home = await mkdtemp(join(tmpdir(), "conversations-"));
  const sessionFile = join(home, "session.json");
  await Bun.write(sessionFile, JSON.stringify({ sessionId: "s", checkout: "/old/place" }));
  return {
    home,
    write: (path: string, text: string) => Bun.write(join(home, path), text),
    read: (path: string) => readFile(join(home, path), "utf8"),
    prepare(checkout: string, resume = true) {
      const acp: AcpSpec = { checkout, sessionFile, conversations };
      const spec: DriverSpec = {
        ...{ protocol: "acp", argv: ["none"], prompt: "", conversationId: "c", mode: "auto" },
        ...{ resume, acp },
      };
      return prepareConversations(spec, { GEMINI_CLI_HOME: home, XDG_DATA_HOME: home });
    },
    [Symbol.asyncDispose]: () => removeFolder(home),
  };
}

test("of Gemini CLI's files of a conversation, the largest is kept, under a name of no minute that comes", async () => {
  await using at = await openHome("gemini");
  const chats = ".gemini/tmp/place/chats";
  await at.write(`${chats}/session-2026-11-29T16-20-aaaaaaaa.jsonl`, "the whole conversation");
  await at.write(`${chats}/session-2026-11-29T16-21-aaaaaaaa.jsonl`, "header");
  await at.write(`${chats}/session-2000-01-01T00-00-bbbbbbbb.jsonl`, "old");
  await at.write(`${chats}/session-2026-11-29T16-21-bbbbbbbb.jsonl`, "longer");
  await at.prepare("/old/place", false);
  expect(await readdir(join(at.home, chats))).toHaveLength(4);
  await at.prepare("/old/place");
  expect((await readdir(join(at.home, chats))).sort()).toEqual([
    "session-2000-01-01T00-00-aaaaaaaa.jsonl",
    "session-2000-01-01T00-00-bbbbbbbb.jsonl",
  ]);
  expect(await at.read(`${chats}/session-2000-01-01T00-00-aaaaaaaa.jsonl`)).toBe("the whole conversation");
  expect(await at.read(`${chats}/session-2000-01-01T00-00-bbbbbbbb.jsonl`)).toBe("longer");
});

test("where the checkout has moved, Gemini CLI's conversations move, too", async () => {
  await using at = await openHome("gemini");
  await at.write(".gemini/projects.json", '{"projects":{"/old/place":"place","/old/place2":"other"}}');
  await at.write(".gemini/tmp/place/.project_root", "/old/place");
  await at.write(".gemini/history/other/.project_root", "/old/place2");
  await at.prepare("/new");
  expect(await at.read(".gemini/projects.json")).toBe('{"projects":{"/new":"place","/old/place2":"other"}}');
  expect(await at.read(".gemini/tmp/place/.project_root")).toBe("/new");
  expect(await at.read(".gemini/history/other/.project_root")).toBe("/old/place2");
});

/** Cause: a folder in the place of a chat kept the agent from starting in every later prompt, and a pipe kept it silent. */
test("what an agent's programs left in the places of Gemini CLI's files is in nobody's way", async () => {
  await using at = await openHome("gemini");
  const chats = ".gemini/tmp/place/chats";
  await mkdir(join(at.home, `${chats}/session-2000-01-01T00-00-aaaaaaaa.jsonl`), { recursive: true });
  await at.write(`${chats}/session-2026-11-29T16-20-aaaaaaaa.jsonl`, "a chat");
  await at.write(".gemini/tmp/place/.project_root", "/old/place");
  await Bun.$`mkfifo ${join(at.home, ".gemini/projects.json")}`;
  await at.prepare("/new");
  expect(await at.read(".gemini/tmp/place/.project_root")).toBe("/new");
  expect(await at.read(`${chats}/session-2026-11-29T16-20-aaaaaaaa.jsonl`)).toBe("a chat");
  await using none = await openHome("gemini");
  await none.prepare("/new");
});

test("where the checkout has moved, opencode works in the new place", async () => {
  await using at = await openHome("opencode");
  // It has none.
  await at.prepare("/new");
  await mkdir(join(at.home, "opencode"));
  using database = new Database(join(at.home, "opencode/opencode.db"));
  database.run("create table session (directory text); create table project (worktree text)");
  database.run("insert into session values ('/old/place'); insert into project values ('/old/place'), ('/')");
  await at.prepare("/old/place");
  expect(database.query("select directory from session").values()).toEqual([["/old/place"]]);
  await at.prepare("/new");
  expect(database.query("select directory from session").values()).toEqual([["/new"]]);
  expect(database.query("select worktree from project").values()).toEqual([["/new"], ["/"]]);
});
