import { expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eq, inArray, sql } from "drizzle-orm";
import { rowsOf } from "../../src/db/client.ts";
import { project, projectSecret } from "../../src/db/project-tables.ts";
import { auditPending } from "../../src/db/safety-tables.ts";
import { openSecretKeys } from "../../src/projects/keys.ts";
import { resealSecrets } from "../../src/projects/run-store.ts";
import { Secret } from "../../src/shared/secret.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

const VALUE = "s3cr3t-value-of-a-token";
const KEY = Buffer.alloc(32, 1).toString("base64");

describeEachDatabase("projects", (database) => {
  const folder = mkdtempSync(join(tmpdir(), "pb-projects-"));
  const app = () => makeApp({ database: database(), env: { SECRETS_KEY: KEY, DATA_DIR: folder } });
  const send = (method: string, path: string, body?: unknown, user = "alice") =>
    ask(app(), user, method, path, body);
  let count = 0;
  const newRepo = () => {
    count += 1;
    return `owner/repo-${count}`;
  };
  const create = async (more: object = {}) => {
    const repo = newRepo();
    const reply = await send("POST", "/projects", { repo, ...more });
    expect([reply.status, reply.body.msg]).toEqual([200, undefined]);
    return { repo, id: String(reply.body.id) };
  };

  test("keep what they are given, change what is sent, and are gone when they are deleted", async () => {
    const { repo, id } = await create({ instructions: "Be nice.", environment: { NODE_ENV: "test" } });
    const change = {
      setup_command: "npm ci",
      secrets: { TOKEN: VALUE, OTHER: "another-value" },
      mcp_servers: {
        docs: { type: "http", url: "https://mcp.example", headers: { A: "Bearer $" + "{TOKEN}" } },
      },
      egress_hosts: ["registry.example", "*.example.org:8443"],
      agent: "claude",
      mode: "ask",
      budget_usd: 1.5,
      pull_request: "draft",
    };
    const updated = await send("PUT", `/projects/${id}`, change);
    expect(updated.body.project).toMatchObject({
      ...change,
      ...{ id, repo, version: 2, instructions: "Be nice.", environment: { NODE_ENV: "test" }, model: null },
      secrets: [{ name: "OTHER" }, { name: "TOKEN" }],
    });
    const fewer = await send("PUT", `/projects/${id}`, { secrets: { OTHER: null }, agent: null });
    expect(fewer.body.project).toMatchObject({
      agent: null,
      mode: "ask",
      secrets: [{ name: "TOKEN" }],
      version: 3,
    });
    expect((await send("GET", `/projects/${id}`)).body.project).toEqual(fewer.body.project);
    const { headers } = await send("GET", `/projects/${id}`);
    const etag = headers.get("etag") ?? "";
    const path = `/projects/${id}`;
    expect((await ask(app(), "alice", "GET", path, undefined, { "if-none-match": etag })).status).toBe(304);
    const stale = await ask(app(), "alice", "PUT", path, { agent: "x" }, { "if-match": `W/"${id}.2"` });
    expect(stale.status).toBe(412);
    expect((await ask(app(), "alice", "PUT", path, {}, { "if-match": etag })).body.project).toMatchObject({
      ...{ agent: null, version: 4 },
    });
    fewer.body.project = (await send("GET", path)).body.project;
    expect((await send("GET", "/projects")).body.projects).toContainEqual(fewer.body.project);
    const other = await create();
    for (const spelling of [repo, `https://github.com/${repo}`, `https://github.com/${repo}.git`]) {
      const { projects } = (await send("GET", `/projects?repo=${encodeURIComponent(spelling)}`)).body;
      expect(projects.map((one: { id: string }) => one.id)).toEqual([id]);
    }
    expect((await send("GET", "/projects?repo=owner/none")).body.projects).toEqual([]);
    expect((await send("GET", "/projects?repo=%20")).status).toBe(422);
    await send("DELETE", `/projects/${other.id}`);
    expect((await send("DELETE", `/projects/${id}`)).body.success).toBe(true);
    expect((await send("GET", `/projects/${id}`)).body.code).toBe("project_not_found");
    const left = await database().orm.select().from(projectSecret).where(eq(projectSecret.projectId, id));
    expect(left).toEqual([]);
  });

  test("are their user's alone", async () => {
    const { id, repo } = await create();
    for (const [method, body] of [["GET"], ["PUT", { instructions: "mine" }], ["DELETE"]] as const)
      expect([method, (await send(method, `/projects/${id}`, body, "bob")).body.code]).toEqual([
        method,
        "project_not_found",
      ]);
    expect((await send("GET", "/projects", undefined, "bob")).body.projects).toEqual([]);
    const ofRepo = `/projects?repo=${encodeURIComponent(repo)}`;
    expect((await send("GET", ofRepo)).body.projects).toMatchObject([{ id }]);
    expect((await send("GET", ofRepo, undefined, "bob")).body.projects).toEqual([]);
  });

  test("a repository has one of a user, however it is spelled", async () => {
    const { repo } = await create();
    for (const same of [repo, `${repo}.git`, `https://github.com/${repo}`, `https://GitHub.com/${repo}.git`])
      expect([same, (await send("POST", "/projects", { repo: same })).body.code]).toEqual([
        same,
        "project_exists",
      ]);
    expect((await send("POST", "/projects", { repo }, "bob")).status).toBe(200);
    const { id } = await create();
    expect((await send("PUT", `/projects/${id}`, { repo })).body.code).toBe("project_exists");
  });

  test("what is refused is refused without its value", async () => {
    const { id } = await create();
    const long = VALUE.repeat(2_000);
    const env = (name: string, value = VALUE) => [
      { environment: { [name]: value } },
      { secrets: { [name]: value } },
    ];
    const bodies: object[] = [
      ...[
        "PATH",
        "HOME",
        "http_proxy",
        "LD_PRELOAD",
        "LOCPATH",
        "gconv_path",
        "GIT_DIR",
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
      ].flatMap((one) => env(one)),
      ...["", "1A", "A-B", "A B", "A=B"].flatMap((one) => env(one)),
      ...env("A", long),
      ...env("A", `${VALUE}\0`),
      { secrets: { A: { value: VALUE } } },
      { secrets: { A: "" } },
      { secrets: [VALUE] },
      { environment: { A: 1 } },
      { environment: { A: "x" }, secrets: { A: VALUE } },
      { environment: Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`A${at}`, VALUE])) },
      { secrets: Object.fromEntries(Array.from({ length: 51 }, (_, at) => [`A${at}`, VALUE])) },
      { secrets: Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`A${at}`, null])) },
      { instructions: "x".repeat(32 * 1024 + 1) },
      { setup_command: "x".repeat(16 * 1024 + 1) },
      { egress_hosts: ["not a host"] },
      { egress_hosts: ["a.example,b.example"] },
      { mcp_servers: { a: { command: "" } } },
      { mcp_servers: { a: { command: "x", url: "https://x" } } },
      { mcp_servers: { a: { type: "http", url: "file:///etc/passwd" } } },
      { mcp_servers: { a: { command: "x", env: { A: 1 } } } },
      { mcp_servers: { a: VALUE } },
      { mode: "fast" },
      { pull_request: "yes" },
      { budget_usd: -1 },
      { agent: "a b" },
      // It would be an option of the agent's program.
      { model: "--yolo" },
    ];
    for (const body of bodies) {
      const reply = await send("PUT", `/projects/${id}`, body);
      expect([JSON.stringify(body).slice(0, 80), reply.status]).toEqual([
        JSON.stringify(body).slice(0, 80),
        422,
      ]);
      expect(JSON.stringify(reply.body)).not.toContain(VALUE);
      expect(reply.body.msg.length).toBeLessThan(700);
    }
    expect((await send("GET", `/projects/${id}`)).body.project).toMatchObject({ version: 1, secrets: [] });
    expect((await send("PUT", `/projects/${id}`, env("PATH")[0])).body.msg).toContain("LD_*");
  });

  test("no table has the value of a secret, and no reply", async () => {
    const headers = { "idempotency-key": "once" };
    const body = { repo: newRepo(), secrets: { TOKEN: VALUE } };
    const created = await ask(app(), "alice", "POST", "/projects", body, headers);
    const again = await ask(app(), "alice", "POST", "/projects", body, headers);
    const { id } = created.body;
    expect(again.body).toEqual(created.body);
    const replies = [created, await send("GET", `/projects/${id}`), await send("GET", "/projects")];
    expect(JSON.stringify(replies)).not.toContain(VALUE);
    const { orm } = database();
    const tables = await rowsOf<{ name: string }>(
      orm,
      sql`select table_name as name from information_schema.tables where table_schema = current_schema()`,
    );
    const names = tables.map(({ name }) => name);
    expect(names).toContain("project_secret");
    const forms = [VALUE, Buffer.from(VALUE).toString("base64"), Buffer.from(VALUE).toString("hex")];
    for (const name of names) {
      const rows = await rowsOf(orm, sql`select t::text as row from ${sql.identifier(name)} t`);
      for (const form of forms) expect([name, JSON.stringify(rows).includes(form)]).toEqual([name, false]);
    }
    const acts = await orm
      .select()
      .from(auditPending)
      .where(eq(auditPending.target, `project:${id}`));
    expect(acts).toMatchObject([
      { actor: "alice", action: "project.create", detail: { secrets: ["TOKEN"] } },
    ]);
  });

  test("a value that is moved to another row does not open; a new key seals all of them again", async () => {
    const { orm } = database();
    const { id } = await create({ secrets: { TOKEN: VALUE } });
    const secrets = async () => orm.select().from(projectSecret).where(eq(projectSecret.projectId, id));
    const [row] = await secrets();
    if (!row) throw new Error("there is no secret");
    const old = openSecretKeys({ dataDir: folder, secretsKeys: [new Secret(KEY)] });
    expect(old.open({ projectId: id, name: "TOKEN" }, row)).toBe(VALUE);
    const { id: other } = await create();
    expect(() => old.open({ projectId: other, name: "TOKEN" }, row)).toThrow("cannot be opened");
    const fresh = new Secret(Buffer.alloc(32, 2).toString("base64"));
    expect(await resealSecrets(orm, openSecretKeys({ dataDir: folder, secretsKeys: [fresh] }))).toBe(0);
    const both = openSecretKeys({ dataDir: folder, secretsKeys: [fresh, new Secret(KEY)] });
    expect(await resealSecrets(orm, both)).toBeGreaterThan(0);
    const [again] = await secrets();
    expect(again?.keyId).toBe(both.current());
    expect(
      openSecretKeys({ dataDir: folder, secretsKeys: [fresh] }).open(
        { projectId: id, name: "TOKEN" },
        again as typeof row,
      ),
    ).toBe(VALUE);
    expect(await resealSecrets(orm, both)).toBe(0);
    await orm.delete(project).where(eq(project.userId, "alice"));
  });

  /** Cause: a call took a hundred, and always the same ones: as many that could not be opened kept the others from their turn. */
  test("a new key seals all secrets again, however many there are and whichever cannot be opened", async () => {
    const { orm } = database();
    const secrets = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`A${at}`, VALUE]));
    await orm.delete(project);
    const { id: broken } = await create({ secrets });
    for (let made = 0; made < 3; made += 1) await create({ secrets });
    await orm
      .update(projectSecret)
      .set({ sealed: new Uint8Array(40) })
      .where(eq(projectSecret.projectId, broken));
    const fresh = new Secret(Buffer.alloc(32, 3).toString("base64"));
    const both = openSecretKeys({ dataDir: folder, secretsKeys: [fresh, new Secret(KEY)] });
    expect(await resealSecrets(orm, both)).toBe(150);
    expect(await resealSecrets(orm, both)).toBe(0);
    await orm.delete(project).where(eq(project.userId, "alice"));
  });

  test("a secret that is stored anew while it is sealed again keeps its new value", async () => {
    const { orm } = database();
    const { id } = await create({ secrets: { TOKEN: VALUE } });
    const fresh = new Secret(Buffer.alloc(32, 3).toString("base64"));
    const both = openSecretKeys({ dataDir: folder, secretsKeys: [fresh, new Secret(KEY)] });
    let stored: Promise<unknown> | undefined;
    const meanwhile = {
      ...both,
      seal(place: Parameters<typeof both.seal>[0], value: string) {
        if (place.projectId === id)
          stored ??= orm
            .update(projectSecret)
            .set(both.seal(place, "newer"))
            .where(eq(projectSecret.projectId, id))
            .execute();
        return both.seal(place, value);
      },
    };
    await resealSecrets(orm, meanwhile);
    await stored;
    const rows = await orm.select().from(projectSecret).where(eq(projectSecret.projectId, id));
    const opened = rows.map(({ projectId, name, ...value }) => both.open({ projectId, name }, value));
    expect(opened).toEqual(["newer"]);
    await orm.delete(project).where(eq(project.userId, "alice"));
  });

  test("a rotation that is cut short leaves each secret sealed by one key or the other, and is finished by the next", async () => {
    const { orm } = database();
    const [a, b] = [await create({ secrets: named("A", 50) }), await create({ secrets: named("B", 50) })];
    const { id: c } = await create({ secrets: named("C", 50) });
    // More than one statement looks at, and one in front that nothing opens.
    await orm
      .update(projectSecret)
      .set({ sealed: new Uint8Array(40) })
      .where(eq(projectSecret.name, "A0"));
    const fresh = new Secret(Buffer.alloc(32, 3).toString("base64"));
    const both = openSecretKeys({ dataDir: folder, secretsKeys: [fresh, new Secret(KEY)] });
    let left = 60;
    const dying = {
      ...both,
      seal(...args: Parameters<typeof both.seal>) {
        left -= 1;
        if (left < 0) throw new Error("killed");
        return both.seal(...args);
      },
    };
    await expect(resealSecrets(orm, dying)).rejects.toThrow("killed");
    const keyIds = async () => {
      const rows = await orm
        .select()
        .from(projectSecret)
        .where(inArray(projectSecret.projectId, [a.id, b.id, c]));
      for (const { projectId, name, ...value } of rows.filter((one) => one.name !== "A0"))
        expect(both.open({ projectId, name }, value)).toBe(`value-of-${name}`);
      return rows.filter(({ keyId }) => keyId === both.current()).length;
    };
    expect(await keyIds()).toBe(60);
    // A service that shuts down leaves the rest to the next.
    expect(await resealSecrets(orm, both, AbortSignal.abort())).toBe(0);
    expect(await resealSecrets(orm, both)).toBe(89);
    expect(await keyIds()).toBe(149);
    await orm.delete(project).where(eq(project.userId, "alice"));
  });
});

const named = (prefix: string, count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`${prefix}${at}`, `value-of-${prefix}${at}`]));
