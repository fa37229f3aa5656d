import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, OPEN_TIMEOUT_MS, openConsole, talkerEnv } from "./fixture.ts";

const TIMEOUT_MS = 240_000;
/** Nothing listens there: work on it is given up. */
const AWAY = "http://127.0.0.1:1/owner/project";

/** An agent that takes messages: it asks three things at once and waits, or changes a file. */
const AGENT = String.raw`
ask() { printf '{"type":"system","subtype":"permission_request","request_id":"%s","tool":"Bash","input":{"command":"make"},"title":"Build"}\n' "$(cat /proc/sys/kernel/random/uuid)"; }
case "$(cat)" in
*ask*) ask; ask; ask; sleep 600 ;;
*) printf 'one\ntwo\n' > a.txt; printf 'three\n' > b.txt; echo "made it" ;;
esac`;

/** Keeps which keys the page has taken: what it does with one, the browser does not. */
const RECORD = `globalThis.taken = [];
addEventListener("keydown", (event) => setTimeout(() => {
  if (!["Control", "Shift"].includes(event.key)) taken.push(event.defaultPrevented);
}), true);`;
/** Keeps what the browser would show of notifications; the page is in the background. */
const NOTIFICATIONS = `globalThis.shown = [];
globalThis.Notification = class {
  static permission = "granted";
  static requestPermission = async () => "granted";
  constructor(title, options) { Object.assign(this, { title, ...options }); shown.push(this); }
  close() { this.closed = true; }
};
Object.defineProperty(document, "hidden", { get: () => globalThis.away === true });`;

if (findChromium()) describe("what the console says of itself", inBrowser);
else unavailable({ name: "keys and notifications of the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let source: TestRepository;
  let on: ConsoleFixture;

  beforeAll(async () => {
    source = await makeRepository();
    on = await openConsole({
      env: {
        ...{ RETRY_TRANSIENT_HOURS: "0", PRIVATE_GIT_HOSTS: "127.0.0.1" },
        ...talkerEnv(AGENT),
      },
    });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await source?.remove();
  }, TIMEOUT_MS);

  const submit = async (text: string, repo = source.path) =>
    (await on.backend.submit(repo, text, { agent: "talker" })).sessionId;

  test(
    "each key that the dialog names is taken by the page that it is named for, and the dialog names all of these",
    async () => {
      const [asks, changed] = [await submit("Now ask"), await submit("Change it")];
      await submit("Give up", AWAY);
      const reply = (path: string) => on.backend.request("GET", path);
      const what = (words: string) => ({ what: words, timeoutMs: TIMEOUT_MS });
      await until(
        async () => (await reply("/dead-letter-queue?status=pending")).body.entries.length === 1,
        what("the dead letter"),
      );
      await until(
        async () => (await reply(`/sessions/${changed}/diff`)).body.files?.length === 2,
        what("the changes"),
      );
      await until(
        async () =>
          (await reply(`/sessions/${asks}/permissions?status=pending`)).body.permissions.length === 3,
        what("the questions"),
      );
      const page = await on.open("/");
      await page.addInitScript(RECORD);
      const ready = (selector: string) => page.locator(selector).first().waitFor();
      const gone = (selector: string) => page.locator(selector).first().waitFor({ state: "detached" });
      const at = (path: RegExp) => async () => await page.waitForURL((url) => path.test(url.pathname));
      const focus = (selector: string) => async () => await page.locator(selector).first().focus();
      const write = (selector: string) => async () => await page.locator(selector).first().fill("Go on");
      /** Goes to the first question by its key. */
      const toQuestion = async () => {
        await page.keyboard.press("q");
        await ready(".question:focus");
      };
      type Check = () => Promise<unknown>;
      interface Key {
        before?: Check;
        /** Where the browser does it, because the focus is on a button or a link. */
        after?: Check;
        byBrowser?: true;
      }
      const groups: Record<string, { path: string; shows: string; keys: Record<string, Key> }> = {
        Everywhere: {
          path: "/",
          shows: ".inbox-row",
          keys: {
            "g i": { after: at(/^\/$/) },
            "g p": { after: at(/^\/p$/) },
            "g b": { after: at(/^\/u$/) },
            "g f": { after: at(/^\/failed$/) },
            "g s": { after: at(/^\/system$/) },
            n: { after: at(/^\/new$/) },
            "?": { after: () => ready(".help") },
            Esc: {
              before: async () => {
                await page.keyboard.press("?");
                await ready(".help");
              },
              after: () => gone(".help"),
              byBrowser: true,
            },
          },
        },
        Inbox: {
          path: "/",
          shows: ".inbox-row",
          keys: {
            "j / k": {},
            Enter: { after: at(/^\/s\//) },
            "/": { after: () => ready("[type=search]:focus") },
            e: {},
            u: {},
          },
        },
        Session: {
          path: `/s/${asks}`,
          shows: ".question-answer",
          keys: {
            "j / k": {},
            r: { after: () => ready("#follow-up:focus") },
            v: { after: at(/\/review$/) },
            "Ctrl Enter": { before: write("#follow-up") },
            "Ctrl Shift Enter": { before: write("#follow-up") },
            q: { after: () => ready(".question:focus") },
            "y / a / n": { before: toQuestion },
          },
        },
        Review: {
          path: `/s/${changed}/review`,
          shows: ".line-number",
          keys: {
            "j / k": {},
            "n / p": {},
            "↑ / ↓": { before: focus(".line-number") },
            c: { before: focus(".line-number"), after: () => ready("textarea:focus") },
            v: {},
            x: {},
          },
        },
        Project: {
          path: "/p/new",
          shows: "form.project",
          keys: { "Ctrl Enter": { before: focus("form.project .input") } },
        },
        "Dead letters": {
          path: "/failed",
          shows: ".failed-open",
          keys: {
            "j / k": {},
            Enter: {
              before: () => page.keyboard.press("j"),
              after: () => ready(".failed-open[aria-expanded=true]"),
              byBrowser: true,
            },
            x: { before: () => page.keyboard.press("j"), after: () => ready(".failed-row[data-selected]") },
            r: { before: () => page.keyboard.press("j"), after: () => ready(".dialog") },
            e: { before: () => page.keyboard.press("j"), after: () => ready(".dialog") },
            "/": { after: () => ready("[type=search]:focus") },
          },
        },
      };

      await ready(".inbox-row");
      await page.keyboard.press("?");
      await ready(".help");
      const named = await page
        .locator(".help section")
        .evaluateAll((sections) =>
          sections.map((one) => [
            one.querySelector("h3")?.textContent,
            [...one.querySelectorAll("kbd")].map((key) => key.textContent),
          ]),
        );
      expect(named).toEqual(Object.entries(groups).map(([group, { keys }]) => [group, Object.keys(keys)]));

      const NAMES: Record<string, string> = { "↑": "ArrowUp", "↓": "ArrowDown", Esc: "Escape" };
      for (const [group, { path, shows, keys }] of Object.entries(groups))
        for (const [label, { before, after, byBrowser }] of Object.entries(keys))
          for (const one of label === "/" ? ["/"] : label.split(" / ")) {
            await page.goto(on.url + path);
            await ready(shows);
            await page.locator("main").focus();
            await before?.();
            const presses = one.startsWith("Ctrl ")
              ? [one.replace("Ctrl", "Control").replaceAll(" ", "+")]
              : one.split(" ");
            for (const press of presses) await page.keyboard.press(NAMES[press] ?? press);
            await after?.();
            const taken = () => page.evaluate<boolean | undefined>("taken.at(-1)");
            if (!byBrowser) await until(taken, { what: `the key ${one} of “${group}” to be taken` });
          }
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a question of an agent is told while the page is in the background, once, and leads to its session",
    async () => {
      const context = await on.browser.newContext({ reducedMotion: "reduce" });
      await context.addInitScript(NOTIFICATIONS);
      const page = await on.open("/", { context });
      await page.locator(".inbox-row, .empty").first().waitFor();
      await page.getByRole("button", { name: "local" }).click();
      await page.getByRole("menuitemcheckbox", { name: "Notifications" }).click();
      await page.keyboard.press("Escape");
      await page.locator(".menu").waitFor({ state: "detached" });
      const shown = () =>
        page.evaluate<{ title: string; body: string }[]>("shown.map(({ title, body }) => ({ title, body }))");
      const isInInbox = (id: string) => page.locator(`a[href="/s/${id}"]`).first().waitFor();
      const answered = (id: string) =>
        page
          .locator(".inbox-row", { has: page.locator(`a[href="/s/${id}"]`) })
          .getByText("Waiting for your answer")
          .waitFor();

      // Whoever looks at the page needs none.
      const seen = await submit("Look and ask");
      await isInInbox(seen);
      await answered(seen);
      expect(await shown()).toEqual([]);

      await page.evaluate("globalThis.away = true");
      const id = await submit("Go away and ask");
      await answered(id);
      const told = { title: "Go away and ask", body: expect.stringMatching(/^Waiting for your answer · /) };
      await until(async () => (await shown()).length > 0, { what: "the notification" });
      // What tells of the session again is no news.
      await on.backend.request("POST", "/prompts", { session_id: id, data: "And then" });
      const other = await submit("Also ask");
      await answered(other);
      expect(await shown()).toEqual([told, { ...told, title: "Also ask" }]);

      await page.evaluate("shown[0].onclick()");
      await page.waitForURL(new RegExp(`/s/${id}$`));
      await page.locator(".question-answer").first().waitFor();
      expect(await page.evaluate<boolean>("shown[0].closed")).toBe(true);
      expect(on.complaints).toEqual([]);
      await context.close();
    },
    TIMEOUT_MS,
  );
}
