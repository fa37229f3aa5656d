import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeRepository } from "../harness/repository.ts";
import type { TurnRequest } from "../harness/scripted-messages.ts";
import type { ModelTurn } from "../harness/scripted-turns.ts";
import { START_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import {
  choiceOf,
  openRealAgents,
  promptEnd,
  type RealAgent,
  type RealAgents,
  RUN_MS,
  realPrograms,
} from "./real-agents.ts";

/** What docs/AGENTS.md says of an agent whose call of the model is refused, for each of the real programs. */
setDefaultTimeout(START_TIMEOUT_MS);

const WORK = "The word is zebra. Write the first file and then the second.";
const FORBIDDEN = "Ask a model that is not allowed.";
const BUSY = "Work while the model is busy.";

const commit = (file: string, number: number) =>
  `echo "by the agent" > ${file} && git add ${file} && git commit -qm "Add ${file}" && printf "committed-%s" ${number}`;

/** So dear that an answer uses up the budget whose length makes no agent shorten its conversation. */
const PRICE = { input: 1, output: 50, context: 200_000, max_output: 64_000 };
const MODELS = ["claude-opus-*", "claude-sonnet-*", "gemini-*", "scripted-model"];
/** What the answer to the first call is said to have, tokens: five dollars of the four that a run may cost. */
const DEAR = 100_000;
const CHEAP = 20;

let output = CHEAP;
/** How often the model is busy before it answers. */
let busy = 0;

function script({ conversation }: TurnRequest): ModelTurn {
  const has = (text: string) => conversation.includes(text);
  output = CHEAP;
  if (has(BUSY)) {
    if (busy-- > 0) return { error: { status: 429, message: "slow down", retryAfterS: 1 } };
    return [has("committed-1") ? { text: "Once." } : { shell: commit("ONE.md", 1) }];
  }
  if (has("committed-2")) return [{ text: "Twice." }];
  if (has("used up")) return [{ shell: commit("TWO.md", 2) }];
  output = DEAR;
  return [{ shell: commit("ONE.md", 1) }];
}

const programs = await realPrograms("the budget");
let real: RealAgents;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-prices-"));
  const prices = join(folder, "prices.json");
  const names = ["scripted-model", "gemini-2.5-pro"];
  await writeFile(prices, JSON.stringify(names.map((model) => ({ model, ...PRICE }))));
  const env = {
    ...{ MODEL_PRICES: prices, BUDGET_USD_PER_RUN: "4", MODELS_ALLOWED: MODELS.join() },
    // What an agent does not end by itself must not look like an end.
    RUN_TIMEOUT_MINUTES: "5",
  };
  real = await openRealAgents({
    ...{ programs, combination: "embedded", script, env },
    outputTokens: () => output,
  });
});
afterAll(async () => {
  await real?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

for (const agent of programs.keys()) describe(`the real ${agent}`, () => tests(agent));

function tests(agent: RealAgent) {
  const choice = choiceOf(agent);
  /** Those for its work, not for a title. */
  const calls = () =>
    real.requests(agent).filter(({ body }) => JSON.stringify(body.tools ?? []) !== "[]").length;
  const promptOf = async (id: string) => (await real.backend.request("GET", `/prompts/${id}`)).body.prompt;
  const said = async (id: string) => JSON.stringify(await real.backend.messages(id));

  test("a budget that is used up: its work is delivered, the prompt says why it waits, and goes on where it was", async () => {
    const { backend } = real;
    const repository = await makeRepository();
    const before = calls();
    const { sessionId, promptId } = await backend.submit(repository.path, WORK, choice);
    const waiting = await until(
      async () => {
        const prompt = await promptOf(promptId);
        return (prompt.waiting_for === "budget" || prompt.finished_at !== null) && prompt;
      },
      { what: "a prompt that waits for its budget", timeoutMs: RUN_MS },
    );
    expect(waiting).toMatchObject({
      ...{ status: "Queued", waiting_for: "budget" },
      error: expect.stringMatching(/The budget is used up: of \$4.* It goes on when its user raises/),
    });
    expect(calls() - before).toBe(1);
    const text = await said(promptId);
    expect(text).toContain("The budget is used up");
    const { branch } = await backend.session(sessionId);
    expect(await repository.git("log", "--format=%s", `main..${branch}`)).toBe("Add ONE.md\n");

    const resumed = await backend.request("POST", `/prompts/${promptId}/resume`, { budget_usd: 20 });
    expect(resumed.status, JSON.stringify(resumed.body)).toBe(200);
    const done = await promptEnd(backend, promptId);
    expect(done, JSON.stringify(done)).toMatchObject({ status: "Completed", waiting_for: null });
    expect(await repository.git("log", "--format=%s", `main..${branch}`)).toBe("Add TWO.md\nAdd ONE.md\n");
    // It remembers what it has done.
    expect(JSON.stringify(real.requests(agent).at(-1)?.body)).toContain("committed-1");
    await repository.remove();
  });

  test("a model that is not allowed: it fails at once, and says which and why", async () => {
    const { backend } = real;
    const repository = await makeRepository();
    const before = calls();
    const model = agent === "claude-acp" ? "haiku" : "other-model";
    const { promptId } = await backend.submit(repository.path, FORBIDDEN, { agent, model });
    const ended = await promptEnd(backend, promptId);
    expect(ended.status).toBe("Failed");
    expect(ended.error).toMatch(/The model \S+ may not be used here \(MODELS_ALLOWED\)\./);
    expect(calls() - before).toBe(0);
    await repository.remove();
  });

  test("a model that is busy: it waits and goes on", async () => {
    const { backend } = real;
    const repository = await makeRepository();
    busy = 2;
    const { sessionId, promptId } = await backend.submit(repository.path, BUSY, choice);
    const ended = await promptEnd(backend, promptId);
    expect(ended, JSON.stringify(ended)).toMatchObject({ status: "Completed" });
    expect(busy).toBeLessThan(0);
    const { branch } = await backend.session(sessionId);
    expect(await repository.git("log", "--format=%s", `main..${branch}`)).toBe("Add ONE.md\n");
    await repository.remove();
  });
}
