import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";

const TIMEOUT_MS = 120_000;
/** claude-haiku-4-5: 1 dollar a million tokens of input, 5 of output: a cent each. */
const MAX_TOKENS = 1_600;
const USAGE = { input_tokens: 2_000, output_tokens: MAX_TOKENS };
const ASK = `curl -sf -o /dev/null -H "x-api-key: $ANTHROPIC_API_KEY" -d '{"model":"claude-haiku-4-5","max_tokens":${MAX_TOKENS}}' "$ANTHROPIC_BASE_URL/v1/messages"`;
/** Asks its model once for each of six steps, and goes on where it was. */
const AGENT = [
  "/bin/sh",
  "-c",
  `cat >/dev/null; touch work; export NO_PROXY=*
while [ "$(wc -l < work)" -lt 6 ]; do ${ASK} || exit 1; echo step >> work; done; echo all six`,
];
const LIMIT = "0.05";
const BADGE = "Waiting for its budget";

/** Keeps what the browser would show of notifications. */
const IN_THE_BACKGROUND = `globalThis.shown = [];
globalThis.Notification = class {
  static permission = "granted";
  constructor(title, { body }) { shown.push({ title, body }); }
};
localStorage.setItem("prompt-backend:notifications", "on");
Object.defineProperty(document, "hidden", { get: () => true });`;

if (findChromium()) describe("a run that waits for money", inBrowser);
else unavailable({ name: "a run that waits for money in the web console", reason: NO_CHROMIUM });

/** A model with a bill of its own. */
function startModel() {
  const bill = { calls: 0 };
  const server = Bun.serve({
    ...{ port: 0, hostname: "127.0.0.1" },
    async fetch(request) {
      const { max_tokens: most } = (await request.json()) as { max_tokens: number };
      // A title is no step, and costs nothing here.
      if (most !== MAX_TOKENS) return Response.json({}, { status: 400 });
      bill.calls += 1;
      return Response.json({ type: "message", model: "claude-haiku-4-5", usage: USAGE });
    },
  });
  const env = {
    ...{ AGENT: "command", AGENT_COMMAND: JSON.stringify(AGENT), ANTHROPIC_API_KEY: "sk-test" },
    ANTHROPIC_BASE_URL: `http://127.0.0.1:${server.port}`,
  };
  return { bill, env, stop: () => server.stop(true) };
}

function inBrowser() {
  let source: TestRepository;
  let on: ConsoleFixture;
  let model: ReturnType<typeof startModel>;

  beforeAll(async () => {
    source = await makeRepository();
    model = startModel();
    on = await openConsole({ env: { ...model.env, BUDGET_USD_PER_RUN: LIMIT } });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await model?.stop();
    await source?.remove();
  }, TIMEOUT_MS);

  const field = (page: Page) => page.getByLabel("New budget in US dollars", { exact: true });
  const card = (page: Page) => page.getByRole("region", { name: "The prompt waits for its budget" });
  const refused = (page: Page, text: string) =>
    card(page).locator(".hint[data-error]", { hasText: text }).waitFor();
  const outcome = (page: Page, text: string | RegExp) => page.locator(".outcome", { hasText: text });
  const read = async (promptId: string, backend = on.backend) =>
    (await backend.request("GET", `/prompts/${promptId}`)).body.prompt;
  /** A session whose prompt has used up what it may cost. */
  const waiting = async (backend = on.backend) => {
    const made = await backend.submit(source.path, "Do six steps");
    await until(async () => (await read(made.promptId, backend)).waiting_for === "budget", {
      ...{ what: "the prompt to wait for its budget", timeoutMs: TIMEOUT_MS },
    });
    return made;
  };

  test(
    "is resumed by a person, who sees why it waits and of what it has spent what, and finishes; all who look see it",
    async () => {
      const context = await on.browser.newContext({ reducedMotion: "reduce" });
      await context.addInitScript(IN_THE_BACKGROUND);
      const inbox = await on.open("/", { context });
      await inbox.locator(".inbox-row, .empty").first().waitFor();
      const { sessionId, promptId } = await waiting();
      expect(model.bill.calls).toBe(4);
      const page = await on.open(`/s/${sessionId}`);
      const other = await on.open(`/s/${sessionId}`, { phone: true });
      await card(page).getByText(BADGE, { exact: true }).waitFor();
      const text = await card(page).textContent();
      for (const part of [
        "$0.04 of $0.05 spent",
        /The next call of its model could cost \$0\.01\d*, more than what is left\./,
        "with the $0.04 that it has cost",
      ])
        expect(text).toMatch(part);
      expect(await page.locator(".session-waiting").textContent()).toMatch(
        /^The budget is used up: of \$0\.05 for this run, \$0\.04 are spent.*It goes on when its user raises the budget\.$/,
      );
      expect(await page.getByRole("button", { name: "Try now" }).count()).toBe(0);
      expect(await page.locator(".session-line .badge").textContent()).toBe(BADGE);
      await card(other).waitFor();
      // Like one that asks.
      await inbox.locator(".inbox-heading h2", { hasText: "Your answer" }).waitFor();
      await inbox.locator(".inbox-row .badge", { hasText: BADGE }).waitFor();
      await until(async () => (await inbox.title()).startsWith("(1)"), { what: "the title to count it" });
      expect(await inbox.evaluate<unknown>("shown")).toEqual([
        { title: "Do six steps", body: expect.stringMatching(/^Waiting for its budget · /) },
      ]);
      expect(await inspect(page, "budget-wait")).toEqual([]);

      // By the keyboard, and what cannot be right is not sent.
      const sent: unknown[] = [];
      page.on("request", (request) => {
        if (request.url().endsWith("/resume")) sent.push(JSON.parse(request.postData() ?? ""));
      });
      await page.locator("main").focus();
      await page.keyboard.press("q");
      await until(() => page.evaluate<boolean>("document.activeElement?.matches('.budget-wait')"), {
        what: "the focus at what waits",
      });
      await page.keyboard.press("Tab");
      expect(await field(page).inputValue()).toBe("0.10");
      for (const [typed, why] of [
        ["much", "A number of US dollars above 0"],
        ["0", "A number of US dollars above 0"],
        ["0.04", "More than the $0.04 that it has cost already."],
      ] as const) {
        await field(page).fill(typed);
        expect(await card(page).locator("[data-error]").count()).toBe(0);
        await page.keyboard.press("Enter");
        await refused(page, why);
      }
      expect(sent).toEqual([]);
      expect(await inspect(page, "budget-refused")).toEqual([]);
      // What the service alone knows is said at the field, too.
      await page.route("**/resume", (route) => route.continue({ postData: '{"budget_usd":0.03}' }), {
        times: 1,
      });
      await field(page).fill("$0.08");
      await page.keyboard.press("Enter");
      await refused(page, "must be more than the $0.04 that the prompt has cost already");
      expect(await read(promptId)).toMatchObject({ waiting_for: "budget", budget_usd: null });
      // What was typed is there after a reload.
      await page.reload();
      expect(await field(page).inputValue()).toBe("$0.08");
      await field(page).press("Enter");
      for (const one of [page, other]) {
        await outcome(one, "Done").getByText("$0.06 of $0.08").waitFor();
        expect(await card(one).count()).toBe(0);
      }
      expect(await page.evaluate<boolean>("document.activeElement === document.body")).toBe(false);
      expect(model.bill.calls).toBe(6);
      expect(await read(promptId)).toMatchObject({
        ...{ status: "Completed", budget_usd: 0.08, waiting_budget: null },
        usage: { cost_usd: 0.06, turns: 6 },
      });
      await page.getByText("all six", { exact: true }).waitFor();
      await inbox.locator(".inbox-row .badge", { hasText: "Ready for review" }).waitFor();
      for (const one of [page, other, inbox]) await one.close();
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "somebody else was faster: that is said, and the page goes on with theirs",
    async () => {
      const { sessionId, promptId } = await waiting();
      const page = await on.open(`/s/${sessionId}`);
      // Cause: what was typed stayed when somebody else had raised it and it was used up again, though it was too little by then.
      await field(page).fill("0.054");
      await on.backend.request("POST", `/prompts/${promptId}/resume`, { budget_usd: 0.055 });
      await card(page).getByText("of $0.055 spent").waitFor();
      expect(await field(page).inputValue()).toBe("0.11");

      await page.route("**/resume", async (route) => {
        await on.backend.request("POST", `/prompts/${promptId}/resume`, { budget_usd: 0.2 });
        await route.continue();
      });
      await page.getByRole("button", { name: "Raise and resume" }).click();
      await page.getByText(/The budget was not raised.*does not wait for its budget/).waitFor();
      await outcome(page, "Done").getByText("$0.06 of $0.20").waitFor();
      expect((await read(promptId)).budget_usd).toBe(0.2);
      await page.close();
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "is cancelled instead, with what was sent to follow it",
    async () => {
      const { sessionId, promptId } = await waiting();
      const page = await on.open(`/s/${sessionId}`);
      await card(page).waitFor();
      await page.getByRole("textbox", { name: "Follow-up" }).fill("Then this");
      await page.keyboard.press("Control+Enter");
      await page.getByText("Waits behind 1 prompt", { exact: true }).waitFor();
      await card(page).waitFor();
      await page.getByRole("button", { name: "Cancel", exact: true }).click();
      await outcome(page, "Cancelled").first().waitFor();
      await card(page).waitFor({ state: "detached" });
      const { prompts } = (await on.backend.request("GET", `/sessions/${sessionId}/prompts`)).body;
      expect(prompts.map((one: { status: string }) => one.status)).toEqual(["Cancelled", "Cancelled"]);
      expect((await read(promptId)).usage.cost_usd).toBe(0.04);
      await page.close();
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "for the budget of a day it asks nobody: it says when that begins anew",
    async () => {
      const own = startModel();
      await using day = await openConsole({ env: { ...own.env, BUDGET_USD_PER_USER_DAY: "0.03" } });
      const { sessionId, promptId } = await waiting(day.backend);
      const page = await day.open(`/s/${sessionId}`);
      await card(page).getByText("Goes on by itself").waitFor();
      const text = await card(page).textContent();
      expect(text).toContain("$0.02 of $0.03 spent");
      expect(text).toContain("Your budget of the day is used up.");
      expect(await page.locator(".session-waiting").textContent()).toMatch(
        /It goes on at \d{4}-\d\d-\d\d 00:00 UTC\.$/,
      );
      expect(await field(page).count()).toBe(0);
      // Without more money it waits on.
      const begun = async () => {
        const { waiting_for: waitsFor, phases } = await read(promptId, day.backend);
        return waitsFor === "budget" && JSON.stringify(phases);
      };
      const before = await begun();
      await page.getByRole("button", { name: "Try now" }).click();
      await until(async () => ![false, before].includes(await begun()), {
        ...{ what: "the prompt to wait again", timeoutMs: TIMEOUT_MS },
      });
      await card(page).waitFor();
      expect(own.bill.calls).toBe(2);
      expect(await inspect(page, "budget-day")).toEqual([]);
      await page.goto(`${day.url}/`);
      await page.locator(".inbox-heading h2", { hasText: /^Waiting/ }).waitFor();
      await page.locator(".inbox-row .badge", { hasText: BADGE }).waitFor();
      expect(day.complaints).toEqual([]);
      await own.stop();
    },
    TIMEOUT_MS,
  );
}
