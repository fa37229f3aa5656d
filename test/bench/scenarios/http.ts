import { tmpdir } from "node:os";
import { join } from "node:path";
import { SQL } from "bun";
import { startProcess } from "../../harness/process.ts";
import { createDatabase } from "../../harness/services.ts";
import { CONNECTIONS, type Request, requireGenerator } from "../generator.ts";
import { type Measure, sampleLoad } from "../sample-load.ts";
import type { Bench, Figure, Scenario } from "../scenario.ts";
import { type Service, startService } from "../service.ts";

const SESSIONS = 50;
const READER = "reader";
/** So many that nobody's unfinished prompts, which are counted, grow to more in a sample than a person has. */
const CREATORS = Array.from({ length: 16 }, (_, n) => `creator-${n}`);
/** Connections to PostgreSQL: as many as the service has by default. */
const POOL = "10";
const REFERENCE = join(import.meta.dir, "../references/bare-http.ts");
const NEW = { repo: "owner/name", target_branch: "main" };
const NEW_PROMPT = JSON.stringify({ ...NEW, messages: [{ content: "Make the checkout faster" }] });
const JSON_TYPE = { "content-type": "application/json" };

export const scenario: Scenario = {
  name: "http",
  about: `Requests per second over ${CONNECTIONS} connections, of the executable as a server on PostgreSQL, each beside a bare Bun.serve with postgres.js and prepared statements.`,
  overHttp: true,
  async run(bench) {
    await requireGenerator();
    const { pid } = await bench.postgres();
    await using stack = new AsyncDisposableStack();
    const figures: Figure[] = [];
    for (const measure of await prepare(bench, stack))
      figures.push(...(await sampleLoad(bench, measure, pid)));
    return figures;
  },
};

async function prepare(bench: Bench, stack: AsyncDisposableStack): Promise<Measure[]> {
  const service = await startService(stack, "postgres", [READER, ...CREATORS]);
  const embedded = await startService(stack, "embedded", [READER]);
  const { url, token } = bench.target ?? {};
  const [ours, within, target] = await Promise.all([
    requestsOf(service.backend.url, service.tokens.slice(0, 1), service.tokens.slice(1)),
    requestsOf(embedded.backend.url, embedded.tokens, embedded.tokens),
    url === undefined ? undefined : requestsOf(url, [token], [token]),
  ]);
  const bare = await startReference(stack, service, ours.id);
  const pid = service.backend.process.pid;
  const of = (request: Request | undefined) => request && { request };
  return [
    {
      measure: "/health",
      goal: { atLeast: 0.8 },
      ours: { request: ours.health, pid },
      reference: { name: "bare route with the same headers", ...bare.at("/health") },
      target: of(target?.health),
    },
    {
      measure: "authenticated read",
      goal: { atLeast: 0.75 },
      ours: { request: ours.read, pid },
      reference: { name: "bare select", ...bare.at("/read") },
      embedded: { request: within.read, pid: embedded.backend.process.pid },
      target: of(target?.read),
    },
    {
      measure: `list of ${SESSIONS}`,
      goal: { atLeast: 1.6 },
      ours: { request: ours.list, pid },
      reference: { name: "bare select of the same rows", ...bare.at("/list") },
      embedded: { request: within.list, pid: embedded.backend.process.pid },
      target: of(target?.list),
    },
    {
      measure: "list, 304",
      goal: { atLeast: 0.8 },
      ours: { request: ours.unchanged, pid },
      reference: { name: "bare select of one row", ...bare.at("/read") },
      target: of(target?.unchanged),
    },
    {
      measure: "create with prompt",
      goal: { atLeast: 0.6 },
      ours: { request: ours.create, pid, reset: () => empty(service.databaseUrl ?? "") },
      reference: { name: "bare transaction of the same inserts", ...bare.create },
      target: of(target?.create),
    },
  ];
}

/** Requests of a user who has 50 sessions, which are made, and of those who make others. */
async function requestsOf(
  url: string,
  [reader]: readonly (string | undefined)[],
  creators: readonly (string | undefined)[],
) {
  const authorization = bearer(reader);
  const sessions = `${url}/sessions`;
  const ask = async (init?: RequestInit) => {
    const reply = await fetch(sessions, { ...init, headers: { ...authorization, ...JSON_TYPE } });
    if (!reply.ok) throw new Error(`${sessions}: ${reply.status} ${await reply.text()}`);
    return { etag: reply.headers.get("etag"), body: (await reply.json()) as { sessions: { id: string }[] } };
  };
  for (let { length } = (await ask()).body.sessions; length < SESSIONS; length += 1)
    await ask({ method: "POST", body: JSON.stringify(NEW) });
  const { etag, body } = await ask();
  const [first] = body.sessions;
  if (!first || body.sessions.length !== SESSIONS)
    throw new Error(`${sessions}: its user has ${body.sessions.length} sessions, not ${SESSIONS}`);
  return {
    id: first.id,
    health: { url: `${url}/health`, headers: [{}] },
    read: { url: `${sessions}/${first.id}`, headers: [authorization] },
    list: { url: sessions, headers: [authorization] },
    // An implementation without ETags answers with the list.
    unchanged: { url: sessions, headers: [{ ...authorization, ...(etag && { "if-none-match": etag }) }] },
    create: {
      url: `${sessions}/with-prompt`,
      headers: creators.map((token) => ({ ...bearer(token), ...JSON_TYPE })),
      body: NEW_PROMPT,
    },
  } satisfies Record<string, Request | string>;
}

/** The same replies by a few lines, in a process of its own. */
async function startReference(stack: AsyncDisposableStack, service: Service, sessionId: string) {
  const health = await fetch(`${service.backend.url}/health`);
  const headers = Object.fromEntries(health.headers);
  // What every server adds by itself.
  for (const own of ["date", "content-length", "connection", "transfer-encoding"]) delete headers[own];
  const writes = await createDatabase();
  stack.defer(writes.drop);
  const running = stack.use(
    startProcess({
      argv: [process.execPath, REFERENCE],
      env: {
        // Bun keeps a cache there.
        HOME: tmpdir(),
        DATABASE_URL: service.databaseUrl,
        CREATE_DATABASE_URL: writes.url,
        SESSION_ID: sessionId,
        USER_ID: READER,
        POOL,
        HEALTH_HEADERS: JSON.stringify(headers),
        HEALTH_BODY: await health.text(),
        NODE_ENV: "production",
      },
      cwd: import.meta.dir,
    }),
  );
  const [, url] = await running.waitForLine(/listens on (\S+)/);
  const at = (path: string, more: Partial<Request> = {}) => ({
    request: { url: `${url}${path}`, headers: [{}], ...more },
    pid: running.pid,
  });
  return {
    at,
    create: {
      ...at("/create", { headers: [JSON_TYPE], body: NEW_PROMPT }),
      reset: () => empty(writes.url),
    },
  };
}

/** So that each sample of writes begins with the same tables. Of the audit log nobody can take anything away. */
async function empty(url: string): Promise<void> {
  const sql = new SQL({ url, max: 1 });
  await sql`truncate session, outbox cascade`.finally(() => sql.end());
}

function bearer(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}
