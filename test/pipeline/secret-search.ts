import { join } from "node:path";
import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../../src/db/client.ts";
import type { Backend } from "../harness/backend.ts";

/** A name of a branch may have it. */
export const TOKEN = "Zk7qX2mRv9tB4wN8sLd3gHj5";
/** JSON, shells and URLs write it in ways of their own. */
export const SECOND = 'pä"55\\wo/rd 91Xy=zQ+Tr7';

const base64Cores = (value: string) =>
  [0, 1, 2].map((shift) =>
    Buffer.from(`${"x".repeat(shift)}${value}`)
      .toString("base64")
      .slice(4, -4),
  );
const ascii = (text: string) =>
  text.replace(/[^ -~]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
/** What must stand nowhere: the values as they are, as others write them, and halves of one. */
export const FORMS = [
  ...[TOKEN, SECOND].flatMap((value) => {
    const json = JSON.stringify(value).slice(1, -1);
    return [value, json, JSON.stringify(json).slice(1, -1), ascii(json), ...base64Cores(value)];
  }),
  ...[TOKEN.slice(0, 12), TOKEN.slice(12), TOKEN.toLowerCase(), encodeURIComponent(SECOND)],
];
export const inClear = (text: string): string[] => FORMS.filter((form) => text.includes(form));

/** What is searched, by where it comes from. */
export type Found = Record<string, string[]>;

/** Every reply of a GET operation, with each id that fits. */
export async function allReplies(
  backend: Backend,
  ids: Record<string, string[]>,
): Promise<Record<string, string>> {
  const { body: api } = await backend.request("GET", "/openapi.json");
  const replies: Record<string, string> = {};
  // biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document.
  for (const [path, operations] of Object.entries<any>(api.paths)) {
    const { get } = operations;
    if (!get || get.responses["200"]?.content?.["text/event-stream"]) continue;
    const of = ids[path.split("/")[1] ?? ""] ?? [crypto.randomUUID()];
    for (const id of path.includes("{") ? of : [""]) {
      const at = path.replace("{id}", id).replace(/\{\w+\}/g, "1");
      const reply = await fetch(new URL(at, backend.url));
      replies[`GET ${at} ${reply.status}`] = `${JSON.stringify([...reply.headers])}${await reply.text()}`;
    }
  }
  return replies;
}

/** Reads a stream of events until the test ends. */
export function listen(backend: Backend, path: string) {
  const ended = new AbortController();
  const heard = { text: "" };
  const reading = (async () => {
    const { body } = await fetch(new URL(path, backend.url), { signal: ended.signal });
    const decoder = new TextDecoder();
    for await (const part of body ?? []) heard.text += decoder.decode(part, { stream: true });
  })().catch(() => undefined);
  return {
    heard,
    async stop() {
      ended.abort();
      await reading;
    },
  };
}

/** All rows of all tables, and what is packed in them. */
export async function tablesOf(orm: Orm): Promise<Record<string, string>> {
  const tables = await rowsOf<{ name: string }>(
    orm,
    sql`select table_name as name from information_schema.tables
      where table_schema = current_schema() and table_type = 'BASE TABLE'`,
  );
  const texts: Record<string, string> = {};
  for (const { name } of tables) {
    const rows = await rowsOf<{ row: string }>(
      orm,
      sql`select t::text as row from ${sql.identifier(name)} t`,
    );
    texts[`table ${name}`] = rows.map(({ row }) => row).join("\n");
  }
  const packed = await rowsOf<{ data: string }>(
    orm,
    sql`select encode(data, 'base64') as data from session_chunk`,
  );
  texts["what agents remember"] = packed
    .map(({ data }) => Buffer.from(data, "base64"))
    .map((data) => Buffer.from(Bun.zstdDecompressSync(data)).toString("latin1"))
    .join("\n");
  return texts;
}

/** Files below a folder with one of the forms in them, and objects of git. */
export async function filesOf(folder: string): Promise<Found> {
  const found: Found = {};
  const patterns = join(folder, "../patterns");
  await Bun.write(patterns, `${FORMS.join("\n")}\n`);
  const small =
    await Bun.$`find ${folder} -type f -size -32M -print0 | LC_ALL=C xargs -0 -r grep -laF -f ${patterns}`
      .nothrow()
      .text();
  for (const file of small.split("\n").filter(Boolean)) found[file] = ["(a form)"];
  // Images of file systems, which are holes for the most part.
  const large = await Bun.$`find ${folder} -type f -size +31M`.text();
  for (const file of large.split("\n").filter(Boolean)) {
    const count =
      await Bun.$`tar --create --sparse --file=- ${file} 2>/dev/null | LC_ALL=C grep -caF -f ${patterns}`
        .nothrow()
        .text();
    if (count.trim() !== "0") found[file] = ["(a form)"];
  }
  const heads = await Bun.$`find ${folder} -name objects -type d`.nothrow().text();
  for (const objects of heads.split("\n").filter(Boolean)) {
    const all = await Bun.$`git --git-dir=${join(objects, "..")} cat-file --batch-all-objects --batch`
      .nothrow()
      .text();
    if (inClear(all).length > 0) found[objects] = inClear(all);
  }
  return found;
}
