import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SQL } from "bun";
import { MAX_ATTEMPTS } from "../../src/runs/failures.ts";
import {
  type Backend,
  createDeployment,
  type Deployment,
  startBackend,
  startWorker,
} from "../harness/backend.ts";
import type { RunningProcess } from "../harness/process.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const LIMIT_MS = 240_000;
const WAIT_MS = 60_000;

// biome-ignore lint/suspicious/noExplicitAny: replies of every shape.
type Row = any;

/** A server and a worker, each of which can be killed and started again, with an agent that takes messages. */
async function openCrashes() {
  const source = await Bun.file(join(import.meta.dir, "talking-program.ts")).text();
  // As an argument: no file of this project is there in a sandbox.
  const program = new Bun.Transpiler({ loader: "ts", target: "bun" }).transformSync(source);
  const command = [process.execPath, "-e", program];
  const agents = [{ name: "talking", title: "Talking", command, protocol: "acp" }];
  const env = { AGENT: "demo", AGENTS: JSON.stringify(agents) };
  const deployment = await createDeployment("postgres");
  const repository = await makeRepository();
  const sql = new SQL(deployment.env["DATABASE_URL"] ?? "");
  let server: Backend | undefined;
  let worker: RunningProcess | undefined;
  const crashes = {
    deployment,
    repository,
    sql,
    server: () => server as Backend,
    async startServer() {
      server = await startBackend(deployment, { args: ["server"], env });
    },
    async startWorker() {
      worker = await startWorker(deployment, ["bg-tasks"], env);
    },
    /** As `kill -9` of a shell. */
    async kill(which: "server" | "worker") {
      const victim = which === "server" ? server?.process : worker;
      victim?.kill("SIGKILL");
      await victim?.exit;
      // As some seconds later.
      if (which === "worker") await sql`update prompt set lease_expires_at = now() where status = 'Running'`;
    },
    async restart(which: "server" | "worker") {
      await crashes.kill(which);
      await (which === "server" ? crashes.startServer() : crashes.startWorker());
    },
    /** Submits a prompt, and waits until its agent has begun. */
    async begin(text: string, more: object = {}) {
      const ids = await crashes.server().submit(repository.path, text, { agent: "talking", ...more });
      await until(async () => (await crashes.server().messages(ids.promptId)).some(isText("working")), {
        ...{ what: "the agent to work", timeoutMs: WAIT_MS },
      });
      return ids;
    },
    async steer(promptId: string, text: string): Promise<Row> {
      const reply = await crashes.server().request("POST", `/prompts/${promptId}/steer`, { text });
      expect(reply).toMatchObject({ status: 200 });
      return reply.body;
    },
    async prompts(sessionId: string): Promise<Row[]> {
      return (await crashes.server().request("GET", `/sessions/${sessionId}/prompts`)).body.prompts;
    },
    async questions(sessionId: string): Promise<Row[]> {
      return (await crashes.server().request("GET", `/sessions/${sessionId}/permissions`)).body.permissions;
    },
    async steers(promptId: string): Promise<Row[]> {
      return Array.from(
        await sql`select text, status, written_at, queued_prompt_id from steer where prompt_id = ${promptId} order by id`,
      );
    },
    async openDoor() {
      const [checkout] = await checkouts(deployment);
      if (checkout === undefined) throw new Error("There is no sandbox.");
      await Bun.write(join(checkout, "door"), "");
    },
    /** When all prompts of a session have ended. @returns them, in order. */
    async ended(sessionId: string): Promise<Row[]> {
      return until(
        async () => {
          const all = await crashes.prompts(sessionId);
          return all.every(({ status }) => /Completed|Failed|Cancelled/.test(status)) && all;
        },
        { what: "the end of all prompts", timeoutMs: WAIT_MS },
      );
    },
    /** What has reached agents, by the branch. */
    async told(sessionId: string): Promise<string[]> {
      const { branch } = await crashes.server().session(sessionId);
      return linesOf(await repository.git("show", `${branch}:told.txt`));
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([server?.[Symbol.asyncDispose](), worker?.[Symbol.asyncDispose]()]);
      await sql.end();
      await deployment[Symbol.asyncDispose]();
      await repository.remove();
    },
  };
  await Promise.all([crashes.startServer(), crashes.startWorker()]);
  return crashes;
}

type Crashes = Awaited<ReturnType<typeof openCrashes>>;

const linesOf = (text: string) => text.split("\n").filter(Boolean);
const isText =
  (text: string) =>
  ({ data }: Row) =>
    data.message?.content?.[0]?.text === text;

/** Of sandboxes, with a file system of their own or without. */
async function checkouts({ dataDir }: Deployment): Promise<string[]> {
  const folder = join(dataDir, "sandboxes");
  const all = await Array.fromAsync(
    new Bun.Glob("*/**/checkout/told.txt").scan({ cwd: folder, absolute: true }),
  );
  return all.map((file) => join(file, ".."));
}

/** Waits until a line stands in told.txt of a running agent, whoever watches it. */
const untilTold = ({ deployment }: Crashes, line: string) =>
  until(
    async () => {
      const texts = await Promise.all(
        (await checkouts(deployment)).map((one) => readFile(join(one, "told.txt"), "utf8")),
      );
      return linesOf(texts.join("\n")).includes(line);
    },
    { what: `the agent to be told ${line}`, timeoutMs: WAIT_MS },
  );

/** Waits until a prompt's agent has ended, which nobody has seen. */
async function untilAgentEnds({ deployment: { dataDir }, sql }: Crashes, promptId: string): Promise<void> {
  const [row] = await sql`select process ->> 'id' as id from prompt where id = ${promptId}`;
  const scan = { cwd: join(dataDir, "sandboxes"), absolute: true };
  const [exit = ""] = await Array.fromAsync(new Bun.Glob(`*/process-${row.id}/exit`).scan(scan));
  await until(async () => (await readFile(exit, "utf8")) !== "", {
    ...{ what: "the agent's end", timeoutMs: WAIT_MS },
  });
}

/** No gap, no event twice, and one attempt; each numbered line once, in order, up to the last one. */
async function expectOnce(crashes: Crashes, promptId: string): Promise<Row[]> {
  const messages = await crashes.server().messages(promptId);
  const seqs = messages.map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => seqs[0] + index));
  expect(messages.filter(isText("working"))).toHaveLength(1);
  expect(messages.filter(({ data }) => data.type === "result")).toHaveLength(1);
  const lines = messages
    .flatMap(({ data }) => data.message?.content?.[0]?.text ?? [])
    .filter((text) => /^(last )?line \d+$/.test(text));
  expect(lines).toEqual(lines.map((_, n) => (n + 1 < lines.length ? `line ${n + 1}` : `last line ${n}`)));
  const ids = messages.flatMap(({ data }) => data.uuid ?? []);
  expect(new Set(ids).size).toBe(ids.length);
  return messages;
}

/** How often it stands in the session's conversation. */
async function timesSaid(crashes: Crashes, sessionId: string, text: string): Promise<number> {
  const { messages } = await crashes.server().session(sessionId);
  return JSON.stringify(messages).split(text).length - 1;
}

const crashTest = (name: string, body: () => Promise<void>) => test(name, body, LIMIT_MS);

describeWith("postgres", "server and worker are killed while somebody talks to an agent", () => {
  crashTest(
    "what is said while the worker is dead reaches the agent exactly once, however often both are killed",
    async () => {
      await using crashes = await openCrashes();
      const { sessionId, promptId } = await crashes.begin("Wait for a word. Wait for the door.");
      await crashes.kill("worker");
      expect(await crashes.steer(promptId, "Said to nobody.")).toMatchObject({ delivered: "running" });
      await crashes.restart("server");
      expect(await crashes.steers(promptId)).toMatchObject([{ status: "pending", written_at: null }]);
      await crashes.startWorker();
      // The agent has it; that this is recorded, nobody has waited for.
      await untilTold(crashes, "word: Said to nobody.");
      await crashes.restart("worker");
      // Another one, while the first is recorded as taken or is about to be.
      await crashes.steer(promptId, "And this.");
      await crashes.restart("worker");
      await untilTold(crashes, "word: And this.");
      await crashes.openDoor();
      expect(await crashes.ended(sessionId)).toMatchObject([
        { id: promptId, status: "Completed", attempt: 1 },
      ]);
      expect(await crashes.told(sessionId)).toEqual([
        ...["prompt: Wait for a word. Wait for the door.", "word: Said to nobody.", "word: And this."],
      ]);
      expect(await crashes.steers(promptId)).toMatchObject([
        { text: "Said to nobody.", status: "delivered" },
        { text: "And this.", status: "delivered" },
      ]);
      const messages = await expectOnce(crashes, promptId);
      const taken = messages.flatMap(({ data }) => (data.steer_id ? data.message.content[0].text : []));
      expect(taken).toEqual(["Said to nobody.", "And this."]);
      for (const text of taken) expect([text, await timesSaid(crashes, sessionId, text)]).toEqual([text, 1]);
    },
  );

  crashTest(
    "what is said to an agent that ends before anybody passes it on is the next prompt, exactly once",
    async () => {
      await using crashes = await openCrashes();
      const { sessionId, promptId } = await crashes.begin("Wait for the door.");
      await crashes.kill("worker");
      expect(await crashes.steer(promptId, "Said too late.")).toMatchObject({ delivered: "running" });
      await crashes.restart("server");
      await crashes.openDoor();
      await untilAgentEnds(crashes, promptId);
      await crashes.startWorker();
      await until(async () => (await crashes.prompts(sessionId)).length > 1, {
        ...{ what: "the next prompt", timeoutMs: WAIT_MS },
      });
      await Promise.all([crashes.restart("worker"), crashes.restart("server")]);
      const ended = await crashes.ended(sessionId);
      expect(ended).toMatchObject([
        { id: promptId, status: "Completed", attempt: 1 },
        { status: "Completed", agent: "talking", data: [{ content: "Said too late.", type: "text" }] },
      ]);
      expect(await crashes.steers(promptId)).toMatchObject([
        { status: "queued", queued_prompt_id: ended[1].id },
      ]);
      expect(await crashes.told(sessionId)).toEqual(["prompt: Wait for the door.", "prompt: Said too late."]);
      await expectOnce(crashes, promptId);
      await expectOnce(crashes, ended[1].id);
      expect(await timesSaid(crashes, sessionId, "Said too late.")).toBe(1);
    },
  );

  crashTest(
    "what was said to the agent of a dead letter is the next prompt, exactly once, also when that is retried",
    async () => {
      await using crashes = await openCrashes();
      const { sessionId, promptId } = await crashes.begin("Wait for the door.");
      await crashes.kill("worker");
      await crashes.steer(promptId, "Said to the dead.");
      await crashes.restart("server");
      // Its last attempt, and no word of how it has ended.
      await crashes.sql`update prompt set attempt = ${MAX_ATTEMPTS} where id = ${promptId}`;
      await crashes.deployment.killAgents();
      await crashes.startWorker();
      const letters = async (): Promise<Row[]> =>
        crashes.sql`select id, status from dead_letter_queue where entity_id = ${promptId}`;
      const [letter] = await until(async () => (await letters()).length > 0 && letters(), {
        ...{ what: "the dead letter", timeoutMs: WAIT_MS },
      });
      await Promise.all([crashes.restart("worker"), crashes.restart("server")]);
      const [, next] = await crashes.ended(sessionId);
      expect(next).toMatchObject({
        status: "Completed",
        data: [{ content: "Said to the dead.", type: "text" }],
      });
      const retried = await crashes.server().request("POST", `/dead-letter-queue/${letter.id}/retry`, {});
      expect(retried).toMatchObject({ status: 200 });
      await Promise.all([crashes.restart("worker"), crashes.restart("server")]);
      await untilTold(crashes, "prompt: Wait for the door.");
      await crashes.openDoor();
      expect(await crashes.ended(sessionId)).toMatchObject([
        { id: promptId, status: "Completed" },
        { id: next.id, status: "Completed" },
      ]);
      const told = await crashes.told(sessionId);
      expect(told.filter((line) => line.endsWith("Said to the dead."))).toEqual([
        "prompt: Said to the dead.",
      ]);
      expect(await crashes.steers(promptId)).toMatchObject([{ status: "queued", queued_prompt_id: next.id }]);
      expect(await timesSaid(crashes, sessionId, "Said to the dead.")).toBe(1);
    },
  );

  crashTest("an answer that is given while the worker is dead reaches the agent, once", async () => {
    await using crashes = await openCrashes();
    const { sessionId, promptId } = await crashes.begin("Ask.", { mode: "ask" });
    const asked = await until(async () => (await crashes.questions(sessionId))[0], {
      ...{ what: "the question", timeoutMs: WAIT_MS },
    });
    await crashes.kill("worker");
    const answer = { decision: "allow" };
    const reply = await crashes.server().request("POST", `/permissions/${asked.id}/answer`, answer);
    expect(reply).toMatchObject({ status: 200 });
    await crashes.restart("server");
    await crashes.startWorker();
    expect(await crashes.ended(sessionId)).toMatchObject([{ status: "Completed", attempt: 1 }]);
    expect(await crashes.told(sessionId)).toEqual(["prompt: Ask.", "answer: yes"]);
    expect(await crashes.questions(sessionId)).toMatchObject([{ id: asked.id, status: "allowed" }]);
    const messages = await expectOnce(crashes, promptId);
    const kinds = messages.map(({ data }) => data.subtype).filter((one) => /^permission/.test(one));
    expect(kinds).toEqual(["permission_request", "permission_answered"]);
  });
});
