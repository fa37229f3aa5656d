import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";
import { keyboardOf } from "./keyboard.ts";

const NO_AMOUNT = "A number of US dollars above 0 and at most 1,000,000, such as 2.50.";
const TIMEOUT_MS = 120_000;
const ENDED = ["NeedsReview", "NeedsReviewIpReturned"];
const SESSION = /\/s\/([0-9a-f-]{36})$/;
const DRAFT = "prompt-backend:draft";
const AGENT = ["/bin/sh", "-c", "cat >/dev/null; echo done"];
const lines = { command: AGENT, protocol: "lines", maxTurns: true };
const AGENTS = [
  { ...lines, name: "asker", title: "Asker", models: ["small-1", "large-2"], modes: ["auto", "ask"] },
  { ...lines, name: "free", title: "Free" },
  { ...lines, name: "gone", title: "Gone", command: ["no-such-program-anywhere"] },
];

if (findChromium()) describe("choosing who works on a prompt", inBrowser);
else unavailable({ name: "choosing an agent in the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let source: TestRepository;
  let on: ConsoleFixture;

  beforeAll(async () => {
    source = await makeRepository();
    const command = { AGENT: "command", AGENT_COMMAND: JSON.stringify(AGENT) };
    const budgets = { BUDGET_USD_PER_RUN: "5", BUDGET_USD_PER_USER_DAY: "20" };
    on = await openConsole({ env: { ...command, ...budgets, AGENTS: JSON.stringify(AGENTS) } });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await source?.remove();
  }, TIMEOUT_MS);

  const field = (page: Page, name: string) => page.getByLabel(name, { exact: true });
  const line = (page: Page, text: string | RegExp) => page.getByRole("button", { name: text });
  const options = (page: Page, name: string) => field(page, name).locator("option").allTextContents();
  const focused = (page: Page, name: string) =>
    until(async () => (await page.locator(":focus").and(field(page, name)).count()) > 0, {
      what: `the focus at ${name}`,
    });
  const send = (page: Page) => page.keyboard.press("Control+Enter");
  /** Prompts of a session, in their order. */
  const prompts = async (id: string) =>
    (await on.backend.request("GET", `/sessions/${id}/prompts`)).body.prompts as Record<string, unknown>[];
  const newest = async (id: string) => (await prompts(id)).at(-1);
  const idOf = (page: Page) => SESSION.exec(new URL(page.url()).pathname)?.[1] ?? "";
  /** The body of each request that sends a prompt. */
  const bodiesOf = (page: Page) => {
    const bodies: Record<string, unknown>[] = [];
    page.on("request", (request) => {
      if (request.method() === "POST" && /\/(prompts|create-with-prompt|sessions)/.test(request.url()))
        bodies.push(JSON.parse(request.postData() ?? "{}"));
    });
    return bodies;
  };
  const fill = async (page: Page, prompt: string) => {
    await page.getByRole("combobox", { name: "Repository" }).fill(source.path);
    await page.keyboard.press("Escape");
    await field(page, "What shall be done?").fill(prompt);
  };

  test(
    "a new session: what is not chosen is not sent, what is chosen is kept with the draft",
    async () => {
      const page = await on.open("/new");
      const bodies = bodiesOf(page);
      await fill(page, "As usual");
      await line(page, "sh (the usual one)").waitFor();
      await send(page);
      await page.waitForURL(SESSION);
      expect(Object.keys(bodies[0] ?? {}).sort()).toEqual(["messages", "repo", "target_branch"]);

      await page.goto(`${on.url}/new`);
      await fill(page, "Ask me");
      // An agent that is not here cannot be chosen, and its reason stands at it.
      const gone = field(page, "Agent").locator("option", { hasText: "Gone is not installed" });
      expect(await gone.isDisabled()).toBe(true);
      expect(await gone.textContent()).toContain("no-such-program-anywhere");
      expect(await options(page, "Mode")).toEqual(["Auto (the usual one)", "Auto"]);
      await page.getByText("sh works without asking.").waitFor();
      await field(page, "Agent").selectOption("asker");
      expect(await options(page, "Model")).toEqual(["Its own choice", "small-1", "large-2"]);
      await field(page, "Model").selectOption("large-2");
      await field(page, "Mode").selectOption("ask");
      await page.getByText(/it waits for your answer/).waitFor();
      await field(page, "Most turns").fill("7 turns");
      expect(await inspect(page, "choice-new")).toEqual([]);
      await page.reload();
      await line(page, "Asker · large-2 · asks first · at most 7 turns (your choice)").waitFor();
      expect(await field(page, "What shall be done?").inputValue()).toBe("Ask me");
      expect(await field(page, "Model").inputValue()).toBe("large-2");
      await field(page, "What shall be done?").focus();
      await send(page);
      await page.waitForURL(SESSION);
      expect(await newest(idOf(page))).toMatchObject({
        ...{ agent: "asker", model: "large-2", mode: "ask", max_turns: 7 },
      });

      // Another agent has other models, and one without a list takes any.
      await page.goto(`${on.url}/new`);
      await line(page, "sh (the usual one)").waitFor();
      await field(page, "Agent").selectOption("asker");
      await field(page, "Model").selectOption("small-1");
      await field(page, "Mode").selectOption("ask");
      await field(page, "Agent").selectOption("free");
      await line(page, "Free (your choice)").waitFor();
      await fill(page, "Freely");
      await field(page, "Model").fill("any/model:1");
      await send(page);
      await page.waitForURL(SESSION);
      expect(await newest(idOf(page))).toMatchObject({
        ...{ agent: "free", model: "any/model:1", mode: "auto", max_turns: null },
      });
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "what is refused is said at its field, which has the keyboard; the form stays as it was",
    async () => {
      const page = await on.open("/new");
      await fill(page, "Nobody can");
      await line(page, "sh (the usual one)").waitFor();
      // A draft of before, whose agent and model have gone since.
      const stale = (choice: object) =>
        page.evaluate(
          `localStorage.setItem("${DRAFT}", JSON.stringify({ ...JSON.parse(localStorage.getItem("${DRAFT}")), choice: ${JSON.stringify({ agent: "", model: "", mode: "", max_turns: "", ...choice })} }))`,
        );
      const refused = async (name: string, text: string | RegExp) => {
        await page.locator(".hint[data-error]", { hasText: text }).waitFor();
        await focused(page, name);
        expect(await page.getByText("The session was not started").count()).toBe(0);
        expect(await field(page, "What shall be done?").inputValue()).toBe("Nobody can");
      };
      await stale({ agent: "gone" });
      // Cause: the refusal led to its field once, before the agents were known and the field was there.
      const answered = page.waitForResponse("**/sessions/with-prompt");
      await page.route("**/agents", (route) => answered.then(() => route.continue()), { times: 1 });
      await page.reload();
      await field(page, "What shall be done?").focus();
      await send(page);
      await refused("Agent", /no worker has had the agent gone/);
      expect(await inspect(page, "choice-refused")).toEqual([]);
      // What was wrong with it is gone once it is changed.
      await field(page, "Agent").selectOption("asker");
      expect(await page.locator(".choice .hint[data-error]").count()).toBe(0);
      await stale({ agent: "asker", model: "old-0" });
      await page.reload();
      await field(page, "What shall be done?").focus();
      await send(page);
      await refused("Model", /does not have the model old-0/);
      await field(page, "Agent").selectOption("free");
      await field(page, "Model").fill("-not a model");
      await send(page);
      await refused("Model", /^A name of letters/);
      await field(page, "Model").fill("");
      await field(page, "Most turns").fill("5000");
      await send(page);
      await refused("Most turns", "from 1 to 1,000");
      // Also where the fields were closed.
      await line(page, /^Free/).click();
      expect(await field(page, "Most turns").count()).toBe(0);
      await field(page, "What shall be done?").focus();
      await send(page);
      await refused("Most turns", "from 1 to 1,000");
      await field(page, "Most turns").fill("50");
      await send(page);
      await page.waitForURL(SESSION);
      expect(await newest(idOf(page))).toMatchObject({ agent: "free", model: null, max_turns: 50 });
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a budget: the most is shown, what cannot be right is said at the field and not sent, nothing is sent for nothing",
    async () => {
      const name = "Budget in US dollars";
      const page = await on.open("/new");
      const bodies = bodiesOf(page);
      await fill(page, "Cheaply");
      await line(page, "sh (the usual one)").waitFor();
      const wrong = page.locator(".choice .hint[data-error]");
      const hint =
        "Of this prompt alone, at most $5.00. Before it costs more, it waits for you to raise it. $20.00 of your own budget is left.";
      await page.getByText(hint, { exact: true }).waitFor();
      expect(await field(page, name).getAttribute("placeholder")).toBe("$5.00 (the usual one)");
      // As it is typed, but a 0 may be the beginning of an amount.
      for (const [typed, says] of [
        ["0.", []],
        ["2,5", [NO_AMOUNT]],
        // It was told to be above 0, which it is.
        ["1000001", [NO_AMOUNT]],
        ["5.01", ["A prompt may cost at most $5.00 here."]],
        [" ", []],
      ] as const) {
        await field(page, name).fill(typed);
        expect(await wrong.allTextContents()).toEqual([...says]);
      }
      for (const [typed, says] of [
        ["much", NO_AMOUNT],
        ["0", NO_AMOUNT],
        ["6", "budget_usd: a prompt may cost at most $5.00 here (BUDGET_USD_PER_RUN)"],
      ] as const) {
        await field(page, name).fill(typed);
        await field(page, "What shall be done?").focus();
        await send(page);
        await wrong.filter({ hasText: says }).waitFor();
        await focused(page, name);
      }
      // The service was asked about the last one alone.
      expect(bodies.map((body) => body["budget_usd"])).toEqual([6]);
      expect(await inspect(page, "choice-budget")).toEqual([]);
      await field(page, name).fill("$2.50");
      await line(page, "sh · at most $2.50 (your choice)").waitFor();
      await page.reload();
      await field(page, name).press("Control+Enter");
      await page.waitForURL(SESSION);
      const id = idOf(page);
      expect(await newest(id)).toMatchObject({ budget_usd: 2.5 });

      // It was of that prompt alone. A project has one for all of its own.
      const project = { repo: source.path, budget_usd: 1.5 };
      const made = await on.backend.request("POST", "/projects", project);
      expect(made.status).toBe(200);
      await page.reload();
      await line(page, "sh (as before)").click();
      await until(
        async () => (await field(page, name).getAttribute("placeholder")) === "$1.50 (from the project)",
        {
          what: "the project's budget",
        },
      );
      const box = page.getByRole("textbox", { name: "Follow-up" });
      await box.fill("Go on");
      await field(page, name).fill("2");
      expect(await wrong.allTextContents()).toEqual([
        "A prompt may cost at most $1.50 by its project's settings.",
      ]);
      await field(page, name).fill("nothing");
      await box.focus();
      await send(page);
      await wrong.filter({ hasText: "A number of US dollars" }).waitFor();
      await focused(page, name);
      expect(await box.inputValue()).toBe("Go on");
      await field(page, name).fill("");
      await send(page);
      await until(async () => (await prompts(id)).length === 2, { what: "the follow-up" });
      expect(bodies.at(-1)).not.toHaveProperty("budget_usd");
      expect(await newest(id)).toMatchObject({ budget_usd: null });
      expect((await on.backend.request("DELETE", `/projects/${made.body.id}`)).status).toBe(200);
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a follow-up says what the session has; a change of it is for the next prompts, too",
    async () => {
      const first = { agent: "asker", model: "small-1", mode: "ask", max_turns: 3 };
      const { sessionId: id } = await on.backend.submit(source.path, "Begin", first);
      await on.backend.waitForStatus(id, ENDED, TIMEOUT_MS);
      const page = await on.open(`/s/${id}`);
      const bodies = bodiesOf(page);
      const box = page.getByRole("textbox", { name: "Follow-up" });
      const count = (length: number) =>
        until(async () => (await prompts(id)).length === length, { what: `${length} prompts` });
      // In few words, and closed: the turns were of the first prompt alone.
      await line(page, "Asker · small-1 · asks first (as before)").waitFor();
      expect(await field(page, "Agent").count()).toBe(0);
      await box.fill("Go on");
      await send(page);
      await count(2);
      expect(Object.keys(bodies[0] ?? {}).sort()).toEqual(["data", "session_id"]);
      expect(await newest(id)).toMatchObject({ ...first, max_turns: null });

      // One that cannot ask is not taken for one that may act unasked.
      await line(page, /^Asker/).click();
      expect(await options(page, "Model")).toEqual(["small-1 (as before)", "small-1", "large-2"]);
      await field(page, "Agent").selectOption("free");
      await page.getByText("Free cannot ask: choose Auto, or another agent.").waitFor();
      await box.fill("Without questions");
      await send(page);
      await page.locator(".hint[data-error]", { hasText: /free does not have the mode ask/ }).waitFor();
      await focused(page, "Mode");
      expect(await box.inputValue()).toBe("Without questions");
      expect(await inspect(page, "choice-follow-up")).toEqual([]);
      await page.reload();
      await line(page, "Free · asks first (your choice)").click();
      await field(page, "Mode").selectOption("auto");
      // From its fields, too.
      await send(page);
      await count(3);
      expect(await newest(id)).toMatchObject({ agent: "free", model: null, mode: "auto" });
      await line(page, "Free (as before)").waitFor();
      expect(await box.inputValue()).toBe("");
      await box.fill("And on");
      await send(page);
      await count(4);
      expect(Object.keys(bodies.at(-1) ?? {}).sort()).toEqual(["data", "session_id"]);
      expect(await newest(id)).toMatchObject({ agent: "free", model: null, mode: "auto" });
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  /** Cause: what had been sent was cleared with all that was chosen by then, and the focus went to the text. */
  test(
    "a change while a follow-up is being sent is for the next one, and keeps the keyboard",
    async () => {
      const { sessionId: id } = await on.backend.submit(source.path, "Begin", {
        agent: "asker",
        model: "small-1",
      });
      await on.backend.waitForStatus(id, ENDED, TIMEOUT_MS);
      const page = await on.open(`/s/${id}`);
      const box = page.getByRole("textbox", { name: "Follow-up" });
      const sending = Promise.withResolvers<void>();
      const go = Promise.withResolvers<void>();
      await page.route("**/prompts", async (route) => {
        if (route.request().method() === "POST") {
          sending.resolve();
          await go.promise;
        }
        await route.continue();
      });
      await line(page, /^Asker/).click();
      await box.fill("Go on");
      await send(page);
      await sending.promise;
      await field(page, "Model").focus();
      await field(page, "Model").selectOption("large-2");
      go.resolve();
      await until(async () => (await box.inputValue()) === "", { what: "the follow-up being sent" });
      expect(await newest(id)).toMatchObject({ agent: "asker", model: "small-1" });
      await line(page, "Asker · large-2 (your choice)").waitFor();
      await focused(page, "Model");
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a session without a prompt says what it has itself",
    async () => {
      const chosen = { agent: "asker", model: "small-1", mode: "ask" };
      const wanted = { repo: source.path, target_branch: "main", ...chosen };
      const { body } = await on.backend.request("POST", "/sessions", wanted);
      const page = await on.open(`/s/${body.id}`);
      await line(page, "Asker · small-1 · asks first (as set for this session)").waitFor();
    },
    TIMEOUT_MS,
  );

  test(
    "by keyboard alone, on a phone; the project's choice is named as such",
    async () => {
      const project = { repo: source.path, agent: "asker", model: "large-2", mode: "ask" };
      const made = await on.backend.request("POST", "/projects", project);
      const page = await on.open("/new", { phone: true });
      const keys = keyboardOf(page);
      await fill(page, "By keys");
      await line(page, "Asker · large-2 · asks first (from the project)").waitFor();
      expect((await options(page, "Agent"))[0]).toBe("Asker (from the project)");
      expect((await options(page, "Model"))[0]).toBe("large-2 (from the project)");
      expect((await options(page, "Mode"))[0]).toBe("Ask (from the project)");
      await keys.tabTo("button", /^Asker/);
      await keys.press("Enter");
      expect(await field(page, "Agent").count()).toBe(0);
      await keys.press("Enter");
      await keys.tabTo("combobox", "Model");
      await keys.type("small");
      await keys.tabTo("combobox", /^Mode$/);
      await keys.type("auto");
      await keys.tabTo("textbox", "Most turns");
      await keys.type("9");
      await line(page, "Asker · small-1 · at most 9 turns (your choice)").waitFor();
      expect(await inspect(page, "choice-project")).toEqual([]);
      await keys.press("Control+Enter");
      await page.waitForURL(SESSION);
      const id = idOf(page);
      expect(await newest(id)).toMatchObject({ agent: "asker", model: "small-1", max_turns: 9 });
      await on.backend.waitForStatus(id, ENDED, TIMEOUT_MS);

      await keys.tabTo("button", /^Asker/);
      await keys.press("Enter");
      await keys.tabTo("combobox", "Agent");
      await keys.type("free");
      await keys.tabTo("textbox", "Follow-up");
      await keys.type("Next");
      expect(await inspect(page, "choice-follow-up-open")).toEqual([]);
      await keys.press("Control+Enter");
      await until(async () => (await prompts(id)).length === 2, { what: "the second prompt" });
      expect(await newest(id)).toMatchObject({ agent: "free", model: null });
      await on.backend.request("DELETE", `/projects/${made.body.id}`);
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );
}
