import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { attachmentsOf, readAttachment } from "../../src/attachments/store.ts";
import { attachment } from "../../src/db/attachment-tables.ts";
import { idempotencyKey } from "../../src/db/service-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { purgeSession } from "../../src/sessions/purge-store.ts";
import { ask, clientOf, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { jpeg, png } from "./pictures.ts";

const MIB = 1024 * 1024;
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const source = (bytes: Uint8Array, media_type?: string) => ({
  ...{ type: "base64", data: base64(bytes) },
  ...(media_type && { media_type }),
});
const image = (bytes: Uint8Array = png(), media_type?: string) => ({
  ...{ type: "image", source: source(bytes, media_type) },
});
const file = (name: string, bytes: Uint8Array = Buffer.from("content")) => ({
  ...{ type: "file", name, source: source(bytes) },
});
const TARGET = { repo: "owner/name", target_branch: "main" };

describeEachDatabase("attachments of prompts", (database) => {
  const { send, create } = clientOf(database);
  const app = () => makeApp({ database: database() });
  // biome-ignore lint/suspicious/noExplicitAny: a reply of any form.
  const dataOf = async (id: string): Promise<any> => (await send("GET", `/prompts/${id}`)).body.prompt.data;
  const stored = (promptId: string) => attachmentsOf(database().orm, promptId);
  const download = (id: string, headers: Record<string, string> = {}) =>
    app().handle(
      new Request(`http://localhost/attachments/${id}`, {
        headers: { authorization: "Bearer alice", ...headers },
      }),
    );

  test("their bytes are taken out of the prompt, and are downloaded by the ids that it has instead", async () => {
    const { sessionId } = await create("First");
    const pdf = Buffer.from("%PDF-1.7\n…");
    const sent = [
      {
        role: "user",
        content: [
          { type: "text", text: "Look at these" },
          image(png(), "image/png"),
          { type: "document", title: "Spec", source: source(pdf, "application/pdf"), context: "kept" },
          { type: "document", source: { type: "text", media_type: "text/plain", data: "Übersicht" } },
          file("../data.csv", Buffer.from([0, 255, 1])),
        ],
      },
    ];
    const reply = await send("POST", "/prompts", { session_id: sessionId, data: sent });
    expect(reply.status).toBe(200);
    const rows = await stored(reply.body.id);
    expect(rows.map(({ name, kind, mediaType, size }) => [name, kind, mediaType, size])).toEqual([
      ["image-1.png", "image", "image/png", 33],
      ["Spec", "document", "application/pdf", pdf.length],
      ["document-3.txt", "document", "text/plain", 10],
      ["data.csv", "file", "application/octet-stream", 3],
    ]);
    const reference = (n: number) => ({
      ...{ type: "attachment", id: rows[n]?.id, media_type: rows[n]?.mediaType, bytes: rows[n]?.size },
    });
    expect(await dataOf(reply.body.id)).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "Look at these" },
          { type: "image", name: "image-1.png", source: reference(0) },
          { type: "document", title: "Spec", name: "Spec", source: reference(1), context: "kept" },
          { type: "document", name: "document-3.txt", source: reference(2) },
          { type: "file", name: "data.csv", source: reference(3) },
        ],
      },
    ]);
    const [shown, ...others] = await Promise.all(rows.map(({ id }) => download(id)));
    expect(Object.fromEntries(shown?.headers ?? [])).toMatchObject({
      "content-type": "image/png",
      "content-disposition": "inline; filename*=UTF-8''image-1.png",
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.stringMatching(/\bsandbox\b/),
    });
    expect(await shown?.bytes()).toEqual(new Uint8Array(png()));
    for (const { headers } of others) {
      expect(headers.get("content-type")).toBe("application/octet-stream");
      expect(headers.get("content-disposition")).toStartWith("attachment; ");
      expect(headers.get("content-security-policy")).toContain("sandbox");
    }
    expect(await others[1]?.text()).toBe("Übersicht");
    expect(await others[2]?.bytes()).toEqual(new Uint8Array([0, 255, 1]));
    const etag = shown?.headers.get("etag") ?? "";
    for (const known of [etag, `"other", W/${etag}`, "*"])
      expect((await download(rows[0]?.id ?? "", { "if-none-match": known })).status).toBe(304);
    expect((await download(rows[0]?.id ?? "", { "if-none-match": '"other"' })).status).toBe(200);
    // Of others it does not exist, nor what does not.
    for (const [user, id] of [
      ["bob", rows[0]?.id],
      ["alice", Bun.randomUUIDv7()],
    ])
      expect((await ask(app(), user, "GET", `/attachments/${id}`)).body.code).toBe("attachment_not_found");
  });

  // Its bytes were read first, up to 5 MiB for a reply of nothing.
  test("the bytes of one that the client has are not read", async () => {
    const { sessionId } = await create("First");
    const sent = [{ content: [file("a.txt")] }];
    const { body } = await send("POST", "/prompts", { session_id: sessionId, data: sent });
    const [row] = await stored(body.id);
    const wanted = { userId: "alice", id: row?.id ?? "" };
    const read = (ifNoneMatch: string | null) => readAttachment(database().orm, { ...wanted, ifNoneMatch });
    const { sha256, bytes } = await read(null);
    expect(bytes).toEqual(Buffer.from("content"));
    expect(await read(`"${"0".repeat(64)}", "${sha256}"`)).toMatchObject({ sha256, bytes: null });
    expect((await read(`"${"0".repeat(64)}"`)).bytes).toEqual(Buffer.from("content"));
  });

  test("come with a session's first prompt, by both operations, once for each key; a picture is enough", async () => {
    for (const path of ["/sessions", "/sessions/with-prompt"]) {
      const body = { ...TARGET, messages: [{ content: [image(jpeg()), file("a.txt"), file("A.txt")] }] };
      const key = crypto.randomUUID();
      const post = () =>
        app().handle(
          new Request(`http://localhost${path}`, {
            method: "POST",
            headers: {
              ...{ authorization: "Bearer alice", "content-type": "application/json" },
              "idempotency-key": key,
            },
            body: JSON.stringify(body),
          }),
        );
      const read = async () => (await (await post()).json()) as { id?: string; sessionId?: string };
      const [first, again] = [await read(), await read()];
      expect(again).toEqual(first);
      const id = first.sessionId ?? first.id;
      const { prompts } = (await send("GET", `/sessions/${id}/prompts`)).body;
      expect(prompts).toHaveLength(1);
      const names = (await stored(prompts[0].id)).map(({ name }) => name);
      expect(names).toEqual(["image-1.jpg", "a.txt", "A-2.txt"]);
      const { session: dto } = (await send("GET", `/sessions/${id}`)).body;
      expect(dto.messages[0].content).toBe("Attached: image-1.jpg, a.txt, A-2.txt");
      expect(JSON.stringify(dto).length).toBeLessThan(2_000);
    }
    // What a key remembers is small, too.
    const [kept] = await database().orm.select().from(idempotencyKey);
    expect(JSON.stringify(kept).length).toBeLessThan(1_000);
  });

  test("a queued prompt that is changed keeps those that it still refers to, under their ids", async () => {
    const { sessionId } = await create("First");
    const body = { session_id: sessionId, data: [{ content: [file("a"), file("b"), file("c")] }] };
    const { id } = (await send("POST", "/prompts", body)).body;
    const [a, b] = await stored(id);
    const [{ content }] = await dataOf(id);
    const changed = { data: [{ content: "Now this" }, { content: [file("new"), content[1], content[0]] }] };
    expect((await send("PUT", `/prompts/${id}`, changed)).status).toBe(200);
    expect((await stored(id)).map((one) => [one.name, one.id])).toEqual([
      ["new", expect.any(String)],
      ["b", b?.id ?? ""],
      ["a", a?.id ?? ""],
    ]);
    expect((await send("PUT", `/prompts/${id}`, { data: "Nothing is attached" })).status).toBe(200);
    expect(await stored(id)).toEqual([]);
    expect((await download(a?.id ?? "")).status).toBe(404);
  });

  test("a prompt may refer to those of the user's other prompts, and gets copies: a fork outlives its original", async () => {
    const { sessionId } = await create("First");
    const body = { session_id: sessionId, data: { content: [image(), file("a.txt")] } };
    const { id } = (await send("POST", "/prompts", body)).body;
    const data = await dataOf(id);
    const other = await create("Another session");
    const again = await send("POST", "/prompts", { session_id: other.sessionId, data });
    expect(again.status).toBe(200);
    const rename = { content: [{ ...data.content[1], name: "b.txt" }] };
    const first = await send("POST", "/sessions/with-prompt", { ...TARGET, messages: rename });
    expect((await stored(first.body.promptId)).map(({ name }) => name)).toEqual(["b.txt"]);
    const stranger = await ask(app(), "bob", "POST", "/sessions/with-prompt", { ...TARGET, messages: data });
    expect([stranger.status, stranger.body.code]).toEqual([404, "attachment_not_found"]);

    const { orm } = database();
    await orm.update(prompt).set({ status: "Completed" }).where(eq(prompt.sessionId, sessionId));
    await orm
      .update(session)
      .set({ deletedAt: new Date(0), sbxConfig: null })
      .where(eq(session.id, sessionId));
    expect((await download((await stored(id))[0]?.id ?? "")).status).toBe(404);
    while ((await purgeSession(orm, sessionId, 1)) > 0);
    expect(await orm.$count(attachment, eq(attachment.promptId, id))).toBe(0);
    const copies = await stored(again.body.id);
    expect(copies.map(({ name, size }) => [name, size])).toEqual([
      ["image-1.png", 33],
      ["a.txt", 7],
    ]);
    expect(await (await download(copies[1]?.id ?? "")).text()).toBe("content");
  });

  test("a deleted prompt takes them with it", async () => {
    const { sessionId } = await create("First");
    const { id } = (await send("POST", "/prompts", { session_id: sessionId, data: [file("a")] })).body;
    expect(await stored(id)).toHaveLength(1);
    await send("DELETE", `/prompts/${id}`);
    expect(await database().orm.$count(attachment, eq(attachment.promptId, id))).toBe(0);
  });

  const large = Buffer.alloc(5 * MIB, 1);
  test.each<[string, unknown, string, RegExp]>([
    ["a page as a picture", image(Buffer.from("<html>")), "attachment_invalid", /^data\[1\]: is not a PNG/],
    [
      "another media type",
      image(png(), "image/gif"),
      "attachment_invalid",
      /is image\/gif, but .* image\/png/,
    ],
    ["a huge picture", image(png(9_000, 2)), "attachment_invalid", /has 9000 × 2 pixels/],
    ["an empty picture", image(png(0, 2)), "attachment_invalid", /has 0 × 2 pixels/],
    ["no base64", { ...file("a"), source: { type: "base64", data: "a*b=" } }, "attachment_invalid", /base64/],
    [
      "a data URL",
      { ...file("a"), source: { type: "base64", data: "data:image/png;base64,QQ==" } },
      "attachment_invalid",
      /base64/,
    ],
    [
      "nothing in it",
      { ...file("a"), source: { type: "base64", data: "" } },
      "attachment_invalid",
      /must have the content/,
    ],
    [
      "an address",
      { type: "image", source: { type: "url", url: "http://x" } },
      "attachment_invalid",
      /source\.type: must be "base64"/,
    ],
    [
      "no name",
      { type: "file", source: source(png()) },
      "attachment_invalid",
      /name: must be the file's name/,
    ],
    ["a name that is none", { ...file("a"), name: 7 }, "attachment_invalid", /name: must be text/],
    [
      "a media type that is none",
      { ...file("a"), source: source(png(), "a\r\nb") },
      "attachment_invalid",
      /must be a media type/,
    ],
    [
      "a document of any kind",
      { type: "document", source: source(png(), "text/csv") },
      "attachment_invalid",
      /application\/pdf/,
    ],
    [
      "a PDF that is none",
      { type: "document", source: source(png(), "application/pdf") },
      "attachment_invalid",
      /is not a PDF/,
    ],
    [
      "an id that is none",
      { ...file("a"), source: { type: "attachment", id: "1" } },
      "attachment_invalid",
      /source\.id/,
    ],
    [
      "one that is too large",
      file("a", Buffer.concat([large, large.subarray(0, 1)])),
      "attachment_too_large",
      /may have 5 MiB/,
    ],
    [
      "a text that is too large",
      { type: "document", source: { type: "text", data: "é".repeat(3 * MIB) } },
      "attachment_too_large",
      /may have 5 MiB/,
    ],
  ])("%s is refused, with where and why", async (_name, block, code, message) => {
    const { sessionId } = await create("First");
    const before = await database().orm.$count(prompt);
    const reply = await send("POST", "/prompts", {
      session_id: sessionId,
      data: [{ content: "Text" }, block],
    });
    expect([reply.body.code, reply.body.msg]).toEqual([code, expect.stringMatching(message)]);
    expect(await database().orm.$count(prompt)).toBe(before);
  });

  test("5 MiB each, 20 MiB together and 20 of them are accepted, and no more; nor more of anything else", async () => {
    const { sessionId } = await create("First");
    const post = (data: unknown) => send("POST", "/prompts", { session_id: sessionId, data });
    const four = [1, 2, 3, 4].map((n) => file(`${n}`, large));
    const { status, body } = await post(four);
    expect(status).toBe(200);
    const rows = await stored(body.id);
    expect(rows.map(({ size }) => size)).toEqual([1, 2, 3, 4].map(() => 5 * MIB));
    expect(Buffer.from(rows[3]?.bytes ?? []).equals(large)).toBe(true);
    expect((await post([...four, file("5", Buffer.from("x"))])).body.msg).toMatch(
      /^data\[4\]: .*20 MiB together/,
    );
    const many = Array.from({ length: 21 }, (_, n) => file(`${n}`));
    expect((await post(many.slice(1))).status).toBe(200);
    expect((await post(many)).body).toMatchObject({ code: "attachment_too_large" });
    expect((await post([file("a"), { content: "x".repeat(2 * MIB) }])).body.code).toBe("too_large");
    expect((await post("x".repeat(2 * MIB))).body.code).toBe("too_large");
    const elsewhere = await send("POST", "/messages", { prompt_id: body.id, data: "x".repeat(2 * MIB) });
    expect(elsewhere.body.code).toBe("too_large");
  });

  test("a block without a source is a part of the prompt, as it always was", async () => {
    const { sessionId } = await create("First");
    const data = [{ content: "Text" }, { type: "file", path: "a.ts" }, { type: "image", source: "here" }];
    const { id } = (await send("POST", "/prompts", { session_id: sessionId, data })).body;
    expect(await dataOf(id)).toEqual(data);
  });
});
