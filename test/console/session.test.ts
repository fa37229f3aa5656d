import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";

const TIMEOUT_MS = 90_000;
const ENDED = ["NeedsReview", "NeedsReviewIpReturned"];
const EVENTS = 3_000;
const STEPS = 25;
const EVIL = `<img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)></svg>`;

const said = (...content: object[]) =>
  JSON.stringify({ type: "assistant", message: { role: "assistant", content } });
const result = (id: string, content: unknown) =>
  JSON.stringify({
    type: "user",
    message: { role: "user", content: [{ type: "tool_result", tool_use_id: id, content }] },
  });
const use = (id: string, name: string, input: object) => said({ type: "tool_use", id, name, input });
/** What an agent under an attacker's control would print. */
const HOSTILE = [
  said({ type: "text", text: `${EVIL} [link](javascript:alert(4)) ![x](https://evil.example/x.png)` }),
  said({
    type: "text",
    text: `[data](data:text/html,<script>alert(5)</script>)\n\n\`\`\`html\n${EVIL}\n\`\`\``,
  }),
  said({ type: "thinking", thinking: EVIL }),
  use("a", EVIL, { command: `echo '${EVIL}'`, description: EVIL }),
  result("a", `\u001b]0;${EVIL}\u0007\u001b[31m${EVIL}`),
  use("b", "Edit", { file_path: `src/${EVIL}.html`, old_string: EVIL, new_string: `${EVIL}!` }),
  result("b", [{ type: "image", source: { type: "base64", media_type: "image/svg+xml", data: btoa(EVIL) } }]),
  said({ type: EVIL, payload: EVIL }),
  JSON.stringify({ type: "system", subtype: EVIL, note: EVIL }),
  JSON.stringify({ type: "result", is_error: false, result: EVIL, num_turns: 1 }),
];
const MODEL = "careful-1";
/** What it does depends on its prompt. */
const AGENT = String.raw`
prompt=$(cat)
say() { printf '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"%s"}]}}\n' "$1"; }
case "$prompt" in
*steps*) for i in $(seq ${STEPS}); do say "step $i of ${STEPS}"; sleep 0.2; done ;;
*wait*) say waiting; sleep 600 ;;
*many*) seq ${EVENTS} | sed 's/.*/{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"event &."}]}}/' ;;
*hostile*) cat <<'EVENTS'
${HOSTILE.join("\n")}
EVENTS
;;
*) echo x >> file.txt; git add file.txt; git -c user.name=a -c user.email=a@example.com commit -qm work; say "made it" ;;
esac`;

if (findChromium()) describe("the page of a session", inBrowser);
else unavailable({ name: "the page of a session in the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let source: TestRepository;
  let on: ConsoleFixture;

  beforeAll(async () => {
    source = await makeRepository();
    const command = ["/bin/sh", "-c", AGENT];
    const env = {
      AGENT: "command",
      AGENT_COMMAND: JSON.stringify(command),
      AGENTS: JSON.stringify([
        {
          name: "other",
          title: "Other",
          command,
          protocol: "lines",
          models: [MODEL],
          modes: ["auto", "ask"],
        },
      ]),
    };
    on = await openConsole({ env });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await source?.remove();
  }, TIMEOUT_MS);

  const submit = async (text: string) => (await on.backend.submit(source.path, text)).sessionId;
  const prompts = async (id: string) =>
    (await on.backend.request("GET", `/sessions/${id}/prompts`)).body.prompts as Prompt[];
  const texts = (page: Page) => page.locator(".said[data-kind=text]").allInnerTexts();
  const state = (page: Page) => page.locator(".session-head [role=status]");
  const box = (page: Page) => page.getByRole("textbox", { name: "Follow-up" });
  const shows = (page: Page, text: string) => page.getByText(text, { exact: true }).waitFor();

  test(
    "two browsers show the same conversation as it happens, also after the service was killed in the middle",
    async () => {
      const id = await submit("Do it in steps");
      const pages = await Promise.all([on.open(`/s/${id}`), on.open(`/s/${id}`, { phone: true })]);
      // So that all rows are rendered.
      for (const page of pages) await page.setViewportSize({ width: 900, height: 4_000 });
      await Promise.all(pages.map((page) => shows(page, `step 3 of ${STEPS}`)));
      await on.restart();
      await Promise.all(pages.map((page) => shows(page, `step ${STEPS} of ${STEPS}`)));
      await Promise.all(pages.map((page) => page.locator(".outcome[data-status=Completed]").waitFor()));
      const stored = (await on.backend.messages((await prompts(id))[0]?.id ?? "")).flatMap(({ data }) =>
        data.message.content.map(({ text }: { text: string }) => text),
      );
      for (const page of pages) {
        expect(await texts(page)).toEqual(stored);
        // A reconnect says nothing.
        expect(await page.locator(".problem, .toast").count()).toBe(0);
      }
      expect(stored.slice(0, STEPS)).toEqual(
        Array.from({ length: STEPS }, (_, n) => `step ${n + 1} of ${STEPS}`),
      );
    },
    TIMEOUT_MS,
  );

  test(
    "a draft survives a reload; follow-ups wait in line, are changed and deleted; the session is cancelled, and goes on",
    async () => {
      const id = await submit("Now wait");
      const page = await on.open(`/s/${id}`);
      await shows(page, "waiting");
      await page.locator(".session-head").getByText("working since").waitFor();
      await page.keyboard.press("r");
      await page.keyboard.type("First draft");
      await page.reload();
      expect(await box(page).inputValue()).toBe("First draft");
      // It arrives, and its answer does not: the next attempt must not be another prompt.
      await page.route("**/prompts", async (route) => {
        if (route.request().method() !== "POST") return route.continue();
        await route.fetch();
        await route.fulfill({ status: 400, json: { err: "bad_request", msg: "lost", code: "bad_request" } });
      });
      await box(page).press("Control+Enter");
      await page.getByText("The follow-up was not sent").first().waitFor();
      await page.unroute("**/prompts");
      await page.reload();
      await box(page).press("Control+Enter");
      await shows(page, "Waits behind 1 prompt");
      await until(async () => (await box(page).inputValue()) === "", { what: "the draft to be sent" });
      expect(await prompts(id)).toHaveLength(2);

      await page.getByRole("button", { name: "Edit" }).click();
      await page.getByRole("textbox", { name: "Text of the prompt" }).fill("Second draft");
      await page.getByRole("button", { name: "Save" }).click();
      await page.locator(".prompt-text", { hasText: "Second draft" }).waitFor();
      expect((await prompts(id))[1]?.data).toEqual([{ type: "text", content: "Second draft" }]);
      // By somebody else: that nothing of the session changes but a prompt is told as well.
      await on.backend.request("PUT", `/prompts/${(await prompts(id))[1]?.id}`, { data: "From elsewhere" });
      await page.locator(".prompt-text", { hasText: "From elsewhere" }).waitFor();
      await page.getByRole("button", { name: "Delete" }).click();
      await page.locator(".prompt-text", { hasText: "From elsewhere" }).waitFor({ state: "detached" });

      await page.getByRole("button", { name: "Cancel" }).click();
      await until(async () => (await state(page).textContent()) === "Cancelled", {
        what: "the cancelled session",
      });
      await box(page).fill("Carry on");
      await box(page).press("Control+Enter");
      await shows(page, "made it");
      await until(async () => (await state(page).textContent()) === "Ready for review", { what: "its end" });
    },
    TIMEOUT_MS,
  );

  test(
    "a session is renamed, forked after a prompt, archived and unarchived",
    async () => {
      const id = await submit("Make it");
      // A run may take longer than a page may.
      await on.backend.waitForStatus(id, ENDED, TIMEOUT_MS / 2);
      const page = await on.open(`/s/${id}`);
      await page.locator(".outcome[data-status=Completed]").waitFor();
      await page.getByRole("button", { name: /, rename$/ }).click();
      await page.getByRole("textbox", { name: "Title of the session" }).fill("Another title");
      await page.keyboard.press("Enter");
      await until(async () => (await on.backend.session(id)).title === "Another title", {
        what: "the title",
      });
      // Chromium tells of a blur when a focused field is removed: that saved what Escape was to leave, and Enter saved twice.
      const saved: string[] = [];
      page.on("request", (request) => {
        // That it was seen is told when the page comes to it, by an address of its own.
        const isRename = new URL(request.url()).pathname === `/sessions/${id}`;
        if (request.method() === "PUT" && isRename) saved.push(request.postDataJSON()?.title);
      });
      const rename = page.getByRole("button", { name: /, rename$/ });
      for (const [key, title] of [
        ["Escape", "Not this title"],
        ["Enter", "A third title"],
      ] as const) {
        await rename.press("Enter");
        await page.getByRole("textbox", { name: "Title of the session" }).fill(title);
        await page.keyboard.press(key);
        await page.locator(".session-title button:focus").waitFor();
      }
      await until(async () => (await on.backend.session(id)).title === "A third title", {
        what: "the third title",
      });
      expect(saved).toEqual(["A third title"]);
      await page.getByRole("button", { name: "Details" }).click();
      const details = page.locator("#session-details");
      await details.getByText(/preparing .+ · working .+ · delivering /).waitFor();
      expect(await details.textContent()).toContain(
        (await prompts(id))[0]?.isolation?.detail ?? "no isolation",
      );
      // How much was changed comes with the link to the review.
      await page.getByRole("link", { name: /Review added \+1/ }).waitFor();

      await page.getByRole("button", { name: "Fork after this prompt" }).click();
      await page.getByLabel("Title", { exact: true }).fill("The fork");
      await page.keyboard.press("Enter");
      await page.waitForURL((url) => !url.pathname.endsWith(id));
      await page.getByRole("heading", { name: "The fork" }).waitFor();
      await page.locator(".earlier", { hasText: "made it" }).waitFor();

      await page.goto(`${on.url}/s/${id}`);
      await page.getByRole("button", { name: "Archive" }).click();
      await page.getByRole("button", { name: "Unarchive" }).click();
      await until(async () => (await on.backend.session(id)).uiStatus !== "Archived", {
        what: "unarchiving",
      });
      await page.keyboard.press("v");
      await page.waitForURL(`**/s/${id}/review`);
    },
    TIMEOUT_MS,
  );

  test(
    "what a prompt, a title, a branch, a file's name and an agent's output say runs nothing",
    async () => {
      const before = on.complaints.length;
      const id = await submit(`Be hostile ${EVIL}`);
      await on.backend.waitForStatus(id, ENDED);
      await on.backend.request("PUT", `/sessions/${id}`, { id, title: EVIL });
      const page = await on.open(`/s/${id}`);
      await page.locator(".outcome").waitFor();
      await page.getByRole("button", { name: "Details" }).click();
      await page.setViewportSize({ width: 900, height: 6_000 });
      const closed = page.locator(".fold-title[aria-expanded=false]");
      while ((await closed.count()) > 0) await closed.first().click();
      expect(
        await page
          .locator(".conversation script, .conversation svg[onload], .conversation [onerror]")
          .count(),
      ).toBe(0);
      expect(await page.locator("a[href^='javascript:'], a[href^='data:']").count()).toBe(0);
      expect(await inspect(page, "session-hostile")).toEqual([]);
      expect(on.complaints.slice(before)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    `of ${EVENTS} events the page has those that are seen; keys and links lead to each`,
    async () => {
      const id = await submit("Say many things");
      await on.backend.waitForStatus(id, ENDED, TIMEOUT_MS / 2);
      const page = await on.open(`/s/${id}`);
      await shows(page, `event ${EVENTS}.`);
      await page.locator(".outcome[data-status=Completed]").waitFor();
      expect(await page.locator(".row").count()).toBeLessThan(100);
      await page.keyboard.press("k");
      await page.getByRole("button", { name: "Jump to the newest" }).waitFor();
      await page.locator(".prompt:focus").waitFor();
      const messages = await on.backend.messages((await prompts(id))[0]?.id ?? "");
      const { seq } = messages[EVENTS / 2];
      await page.goto(`${on.url}/s/${id}#m-${seq}`);
      await shows(page, `event ${EVENTS / 2 + 1}.`);
      await page.getByRole("button", { name: "Jump to the newest" }).click();
      await shows(page, `event ${EVENTS}.`);
    },
    TIMEOUT_MS,
  );

  test(
    "each prompt says what was chosen for it: agent, model, and that it asks; the details say it of each run",
    async () => {
      const choice = { agent: "other", model: MODEL, mode: "ask" };
      const { sessionId: id } = await on.backend.submit(source.path, "Make it", choice);
      await on.backend.waitForStatus(id, ENDED, TIMEOUT_MS / 2);
      const data = [{ type: "text", content: "Make it again" }];
      const next = { session_id: id, data, agent: "other", model: MODEL, mode: "auto" };
      expect((await on.backend.request("POST", "/prompts", next)).status).toBeLessThan(300);
      const page = await on.open(`/s/${id}`);
      const chosen = (number: number) =>
        page.getByRole("region", { name: `Prompt ${number}`, exact: true }).locator(".prompt-choice");
      expect(await chosen(1).textContent()).toBe(`other · ${MODEL} · asks first`);
      expect(await chosen(2).textContent()).toBe(`other · ${MODEL}`);
      await page.getByRole("button", { name: "Details" }).click();
      const run = page.locator(".runs li").first();
      expect(await run.textContent()).toContain(`Completed · other · ${MODEL} · asks first`);
    },
    TIMEOUT_MS,
  );

  test(
    "a session that does not exist, or is no address, is told with the next step",
    async () => {
      for (const id of ["01a223fb-0000-7000-8000-000000000000", "nonsense"]) {
        const page = await on.open(`/s/${id}`);
        await page.getByRole("heading", { name: "There is no such session" }).waitFor();
        await page.getByRole("link", { name: "Go to the inbox" }).waitFor();
      }
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );
}

interface Prompt {
  isolation: { detail: string } | null;
  id: string;
  data: unknown;
}
