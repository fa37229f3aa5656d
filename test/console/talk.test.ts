import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole, talkerEnv } from "./fixture.ts";

const TIMEOUT_MS = 120_000;
const EVIL = `<img src=x onerror=alert(1)><script>alert(2)</script>`;
const EDIT = { file_path: "src/a.ts", old_string: "const a = 1;", new_string: "const a = 2;" };

/** An agent that asks and takes messages. */
const AGENT = String.raw`
prompt=$(cat)
say() { printf '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"%s"}]}}\n' "$1"; }
ask() { printf '{"type":"system","subtype":"permission_request","request_id":"%s","tool":"%s","input":%s,"title":"%s"}\n' "$@"; }
id() { cat /proc/sys/kernel/random/uuid; }
answer() {
  until [ -e "$AGENT_MAILBOX/answer-$1.json" ]; do sleep 0.1; done
  decision=$(sed 's/.*"decision":"\([a-z_]*\)".*/\1/' "$AGENT_MAILBOX/answer-$1.json")
  printf '{"type":"system","subtype":"permission_answered","request_id":"%s","decision":"%s","reason":null}\n' "$1" "$decision"
  say "was told $decision"
}
steers() { ls "$AGENT_MAILBOX" | grep -c '^steer-'; }
case "$prompt" in
*ask*) a=$(id); ask "$a" Bash '${JSON.stringify({ command: `echo '${EVIL}'` }).replaceAll("'", `'\\''`)}' '${EVIL}'; answer "$a"
  b=$(id); ask "$b" Edit '${JSON.stringify(EDIT)}' 'Change a'; answer "$b" ;;
*two*) a=$(id); b=$(id); ask "$a" Bash '{"command":"one"}' One; ask "$b" Bash '{"command":"two"}' Two; answer "$a"; answer "$b" ;;
*talk*) say begun
  until [ "$(steers)" -ge 2 ]; do sleep 0.1; done
  first=$(ls "$AGENT_MAILBOX" | grep '^steer-' | head -n 1 | sed 's/^steer-[0-9]*-\(.*\)\.json$/\1/')
  printf '{"type":"user","steer_id":"%s","message":{"role":"user","content":[{"type":"text","text":"x"}]}}\n' "$first"
  say "took one" ;;
*) say "did the next" ;;
esac`;

if (findChromium()) describe("talking to an agent", inBrowser);
else unavailable({ name: "talking to an agent in the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let source: TestRepository;
  let on: ConsoleFixture;

  beforeAll(async () => {
    source = await makeRepository();
    on = await openConsole({ env: talkerEnv(AGENT) });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await source?.remove();
  }, TIMEOUT_MS);

  const submit = async (text: string) =>
    (await on.backend.submit(source.path, text, { agent: "talker" })).sessionId;
  const cards = (page: Page) => page.locator(".question");
  const box = (page: Page) => page.getByRole("textbox", { name: "Follow-up" });
  const shows = (page: Page, text: string) => page.getByText(text, { exact: true }).waitFor();
  const focused = (page: Page, selector: string) =>
    until(() => page.evaluate<boolean>(`document.activeElement?.matches(${JSON.stringify(selector)})`), {
      what: `the focus in ${selector}`,
    });

  test(
    "a question is answered in place, by keys, and all who look see it",
    async () => {
      const inbox = await on.open("/");
      const id = await submit("Now ask");
      const page = await on.open(`/s/${id}`);
      const other = await on.open(`/s/${id}`, { phone: true });
      await cards(page).getByRole("button", { name: "Allow", exact: true }).waitFor();
      const text = await cards(page).textContent();
      for (const part of [
        "Bash",
        EVIL,
        `echo '${EVIL}'`,
        "Waits for your answer.",
        "Denied by itself in 59 min",
      ])
        expect(text).toContain(part);
      // The page reads questions and prompts apart: either may come first.
      await page.locator(".outcome").getByText("Waiting for your answer", { exact: true }).waitFor();
      await inbox.locator(".inbox-heading h2", { hasText: "Your answer" }).waitFor();
      await inbox.locator(".inbox-row .badge", { hasText: "Waiting for your answer" }).waitFor();
      await until(async () => (await inbox.title()).startsWith("(1)"), { what: "the title to count it" });
      await inbox.close();
      expect(await inspect(page, "question")).toEqual([]);

      // Cause: on a busy machine the question took the keyboard out of the box, where each y and a would have allowed it.
      await page.locator("main").focus();
      await page.evaluate(`{
        const real = requestAnimationFrame, frames = [];
        window.requestAnimationFrame = (frame) => frames.push(frame);
        window.goOn = async () => {
          window.requestAnimationFrame = real;
          for (const frame of frames) frame(0);
          await new Promise((done) => real(() => real(() => real(done))));
        };
      }`);
      for (const key of ["q", "r"]) await page.keyboard.press(key);
      await page.evaluate("goOn()");
      await page.keyboard.type("yay");
      expect(await box(page).inputValue()).toBe("yay");
      expect(await cards(page).getAttribute("data-status")).toBe("pending");
      await box(page).fill("");

      // A key that is meant for the page allows nothing.
      await page.locator("main").focus();
      await page.keyboard.press("y");
      await page.keyboard.press("q");
      await focused(page, ".question");
      expect(await cards(page).getAttribute("data-status")).toBe("pending");
      await page.keyboard.press("y");
      for (const one of [page, other]) {
        await cards(one)
          .first()
          .getByText(/^Allowed by \S+/)
          .waitFor();
        await cards(one).nth(1).getByText("Change a").waitFor();
      }
      await focused(page, ".question[data-status=allowed]");
      const [command] = (await on.backend.request("GET", `/sessions/${id}/permissions`)).body.permissions;
      expect(command).toMatchObject({ status: "allowed", decision: "allow" });

      const second = cards(page).nth(1);
      // That it waits is read after it is there.
      await second.getByRole("button", { name: "Allow", exact: true }).waitFor();
      expect(await second.locator(".edit-line").allInnerTexts()).toEqual([
        expect.stringContaining("const a = 1;"),
        expect.stringContaining("const a = 2;"),
      ]);
      await page.keyboard.press("q");
      await focused(page, ".question[data-status=pending]");
      await page.keyboard.press("n");
      await focused(page, ".question input");
      await page.keyboard.type("Not in any file");
      await page.keyboard.press("Enter");
      for (const one of [page, other]) {
        await cards(one)
          .nth(1)
          .getByText(/^Denied by \S+/)
          .waitFor();
        await cards(one).nth(1).getByText("Not in any file").waitFor();
        await shows(one, "was told deny");
      }
      expect(await page.locator(".question-answer").count()).toBe(0);
      // What ends a question is no row of its own.
      expect(await page.getByText("permission answered").count()).toBe(0);
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "somebody else was faster; the other question is allowed for the run",
    async () => {
      const id = await submit("Ask two at once");
      const page = await on.open(`/s/${id}`);
      await cards(page).nth(1).getByRole("button", { name: "Allow", exact: true }).waitFor();
      await page.route("**/permissions/*/answer", async (route) => {
        const { pathname } = new URL(route.request().url());
        await on.backend.request("POST", pathname, { decision: "deny", reason: "I was first" });
        await route.continue();
      });
      await cards(page).first().getByRole("button", { name: "Allow", exact: true }).click();
      await page
        .getByText(/^Your answer came too late/)
        .first()
        .waitFor();
      await cards(page).first().getByText("I was first").waitFor();
      await page.unroute("**/permissions/*/answer");
      await cards(page).nth(1).getByRole("button", { name: "Allow for this run" }).click();
      await cards(page)
        .nth(1)
        .getByText(/^Allowed for this run by/)
        .waitFor();
      await shows(page, "was told allow_run");
    },
    TIMEOUT_MS,
  );

  test(
    "an agent that works is told something; what it has not taken is the next prompt",
    async () => {
      const id = await submit("Let us talk");
      const page = await on.open(`/s/${id}`);
      await shows(page, "begun");
      await page.getByRole("button", { name: "Queue as next prompt" }).waitFor();
      expect(await inspect(page, "steer")).toEqual([]);
      await box(page).fill("Mind the tests");
      await box(page).press("Control+Shift+Enter");
      await page
        .getByText(/^Sent to the agent/)
        .first()
        .waitFor();
      const pending = page.locator(".steer[data-pending=true]");
      await pending.getByText("Mind the tests").waitFor();
      // Also after a reload, while it is not taken.
      await page.reload();
      await pending.getByText("Mind the tests").waitFor();
      // And in another browser, which has sent nothing.
      const other = await on.open(`/s/${id}`, { phone: true });
      await other.locator(".steer[data-pending=true]").getByText("Mind the tests").waitFor();
      await box(page).fill("And the docs");
      await page.getByRole("button", { name: "Send to the agent now" }).click();
      for (const one of [page, other])
        await one.locator(".steer[data-pending=false]").getByText("Mind the tests").waitFor();
      await shows(page, "did the next");
      expect(await page.locator(".prompt .prompt-text").allInnerTexts()).toEqual([
        "Let us talk",
        "And the docs",
      ]);
      expect(await page.locator(".steer .prompt-text").allInnerTexts()).toEqual(["Mind the tests"]);
      // Nobody works, so that there is nobody to tell.
      await page.getByRole("button", { name: "Send", exact: true }).waitFor();
      expect(await page.getByRole("button", { name: "Send to the agent now" }).count()).toBe(0);
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );
}
