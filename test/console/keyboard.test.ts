import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { OPEN_TIMEOUT_MS } from "./fixture.ts";
import { type ForgeConsole, openForgeConsole } from "./forge-fixture.ts";
import { keyboardOf } from "./keyboard.ts";

const TIMEOUT_MS = 90_000;
const NARROW = { width: 360, height: 640 };
/** Nothing listens there: work on it is given up. */
const AWAY = "http://127.0.0.1:1/owner/project";
const SESSION = /\/s\/[0-9a-f-]{36}$/;
const AGENT = `
case "$(cat)" in
*wait*) echo waiting; sleep 600 ;;
*) sed -i 's/value20 = 20/value20 = 2000/; s/value40 = 40/value40 = 4000/' src/app.ts; echo "made it" ;;
esac`;
const APP = Array.from({ length: 60 }, (_, index) => `export const value${index + 1} = ${index + 1};\n`);

if (findChromium()) describe("the console by keyboard alone", inBrowser);
else unavailable({ name: "the web console by keyboard alone", reason: NO_CHROMIUM });

/** One browser, from the printed link to signing out. */
function inBrowser() {
  let forge: ForgeConsole;
  let page: Page;
  let keys: ReturnType<typeof keyboardOf>;
  beforeAll(async () => {
    forge = await openForgeConsole({
      files: { "README.md": "# Test\n", "src/app.ts": APP.join("") },
      agent: AGENT,
      env: { AUTH_MODE: "local", RETRY_TRANSIENT_HOURS: "0" },
      args: [],
    });
    const { on } = forge;
    const [, link = ""] = await on.backend.process.waitForLine(/(http:\/\/\S+\/#code=\S+)/, {
      timeoutMs: OPEN_TIMEOUT_MS,
    });
    page = await on.open(link.slice(on.url.length));
    keys = keyboardOf(page);
    await page.getByText("No sessions yet").waitFor();
  }, OPEN_TIMEOUT_MS);
  afterAll(() => forge?.[Symbol.asyncDispose](), TIMEOUT_MS);

  /** From any page: a new session, by its key and the form's own order. */
  const start = async (repo: string, prompt: string) => {
    // In a review `n` is another key.
    await page.keyboard.press("g");
    await page.keyboard.press("i");
    await page.getByRole("searchbox", { name: /^Search sessions/ }).waitFor();
    await page.keyboard.press("n");
    await keys.at("combobox", "Repository");
    await keys.press("Control+a");
    await keys.type(repo);
    // Closes what is suggested.
    await keys.press("Escape");
    await keys.tabTo("textbox", "What shall be done?");
    await keys.type(prompt);
    await keys.press("Control+Enter");
    await page.waitForURL(SESSION);
    await page.locator(".session-head").waitFor();
    await keys.look("starting a session");
  };
  const state = (words: string) =>
    page.locator(".session-head [role=status]").getByText(words, { exact: true }).waitFor();
  // By its class: toasts have the role of a dialog, too.
  const gone = (what: "dialog" | "menu") => page.locator(`.${what}`).waitFor({ state: "detached" });
  /** A button's dialog begins with a field; Escape leads back to the button, which opens it again. */
  const opensTwice = async (button: string, field: string) => {
    await keys.use("button", button);
    await keys.at("textbox", field);
    await keys.press("Escape");
    await gone("dialog");
    await keys.at("button", button);
    await keys.press("Enter");
    await keys.at("textbox", field);
  };

  test(
    "sessions are started, asked again, cancelled and forked; dialogs and menus give the focus back",
    async () => {
      await page.keyboard.press("?");
      await keys.at("button", "Close");
      await keys.press("Escape");
      await gone("dialog");
      await keys.look("closing the keys");
      await keys.press("Shift+Tab");
      await keys.tabTo("link", "Skip to the page", "Shift+Tab");
      await keys.press("Enter");
      await keys.use("button", /^Menu of/);
      await keys.press("ArrowDown", "Escape");
      await gone("menu");
      await keys.at("button", /^Menu of/);

      await keys.use("link", "Start a session");
      await keys.at("combobox", "Repository");
      await keys.use("link", "prompt-backend, inbox");
      await start(forge.host.repo, "Please wait");
      await page.getByText("waiting", { exact: true }).waitFor();
      await keys.press("r");
      await keys.at("textbox", "Follow-up");
      await keys.type("Make it");
      await keys.press("Control+Enter");
      await page.locator(".prompt-text", { hasText: "Make it" }).waitFor();
      await keys.at("textbox", "Follow-up");
      await keys.press("Escape");
      await keys.use("button", "Delete");
      await page.locator(".prompt-text", { hasText: "Make it" }).waitFor({ state: "detached" });
      await keys.look("deleting a prompt that waits");
      await keys.use("button", "Cancel", "Space");
      await state("Cancelled");
      await keys.look("cancelling the session");

      await keys.press("r");
      await keys.type("Make it");
      await keys.use("button", "Send");
      await state("Ready for review");
      await keys.at("textbox", "Follow-up");
      await keys.press("Escape");
      await keys.use("button", /, rename$/);
      await keys.at("textbox", "Title of the session");
      await keys.press("Control+a");
      await keys.type("Kept");
      await keys.press("Enter");
      await keys.at("button", /^Kept ?, rename$/);
      await keys.press("Enter");
      await keys.type("Not kept");
      await keys.press("Escape");
      await keys.at("button", /^Kept ?, rename$/);
      await opensTwice("Fork", "Title");
      await keys.press("Control+a");
      await keys.type("The fork");
      const before = page.url();
      await keys.use("button", "Fork");
      await page.waitForURL((url) => url.href !== before);
      await page.getByRole("heading", { name: "The fork" }).waitFor();
      await keys.look("opening the fork");
    },
    TIMEOUT_MS,
  );

  test(
    "the inbox is walked through, searched, and archiving in it undone",
    async () => {
      await page.keyboard.press("g");
      await page.keyboard.press("i");
      for (const title of ["The fork", "Kept"])
        await page.locator(".inbox-row", { hasText: title }).waitFor();
      const [first = "", second = ""] = await page.locator(".inbox-title").allInnerTexts();
      for (const [key, title] of [
        ["j", first],
        ["j", second],
        ["k", first],
      ] as const) {
        await keys.press(key);
        await keys.at("link", title);
      }
      await keys.press("/");
      await keys.at("searchbox", /^Search sessions/);
      await keys.type("Fork");
      await page.locator(".inbox-row", { hasText: "Kept" }).waitFor({ state: "detached" });
      await keys.press("Enter", "j");
      await keys.use("button", "Archive The fork");
      await page.getByText("Nothing matches").waitFor();
      await keys.look("archiving the last session of the list");
      await keys.use("button", "Undo");
      await page.locator(".inbox-row", { hasText: "The fork" }).waitFor();
      await keys.look("undoing it");
      await keys.press("/", "Escape");
      await page.locator(".inbox-row", { hasText: "Kept" }).waitFor();
      await keys.press("Escape");
      // A link beside the list is followed, not the list's session.
      await keys.use("link", /^Done/);
      await page.waitForURL("**/?show=done");
      await keys.use("link", /^Open/);
      await page.locator(".inbox-row", { hasText: "Kept" }).waitFor();
      await keys.tabTo("link", /Kept/);
      await page.keyboard.press("Enter");
      await page.waitForURL(SESSION);
      await keys.look("opening a session");
    },
    TIMEOUT_MS,
  );

  /** Of the session that is open. @param narrow whether its parts are shown one at a time. */
  const review = async ({ narrow }: { narrow: boolean }) => {
    await state("Ready for review");
    await forge.host.showBranches(forge.gitea.branches);
    const session = page.url();
    await keys.press("v");
    await page.waitForURL("**/review");
    await page.getByRole("region", { name: "Changes" }).getByRole("heading").first().waitFor();
    await keys.look("opening the review");
    if (narrow) await keys.use("button", "Files");
    await keys.use("button", /app\.ts/);
    await keys.at("button", /^M.*app\.ts$/);
    await keys.press("n");
    await keys.at("button", "Line 20, removed");
    await keys.press("ArrowDown");
    await keys.at("button", "Line 20, added");
    await keys.press("c");
    await keys.at("textbox", "Comment on line 20");
    await keys.press("Escape");
    await keys.at("button", "Line 20, added");
    await keys.press("Enter");
    await keys.at("textbox", "Comment on line 20");
    await keys.type("Why?");
    await keys.press("Control+Enter");
    await page.getByRole("article", { name: "Comment" }).first().waitFor();
    await keys.at("button", "Line 20, added");
    await keys.use("button", "Edit");
    await keys.at("textbox", "Change the comment");
    await keys.type(" ");
    await keys.use("button", "Save");
    await page.getByRole("textbox", { name: "Change the comment" }).waitFor({ state: "detached" });
    await keys.look("changing the comment");

    if (narrow) await keys.use("button", "Review");
    await keys.use("button", "Create a pull request");
    await keys.at("textbox", "Title");
    await keys.use("checkbox", "As a draft", "Space");
    await keys.press("Space");
    await keys.use("button", "Create");
    await gone("dialog");
    const panel = page.getByRole("region", { name: "Pull request" });
    await panel.getByRole("button", { name: "Merge" }).waitFor();
    await keys.look("creating the pull request");
    await keys.use("button", "Send 1 comment to the agent");
    await keys.at("textbox", "What it begins with");
    await keys.use("button", "Send");
    await page.waitForURL(session);
    await keys.look("sending the comment");
    await page.getByText("made it").nth(1).waitFor();
    await state("Ready for review");

    await keys.use("link", /^Review/);
    await page.waitForURL("**/review");
    await page.getByRole("region", { name: "Changes" }).getByRole("heading").first().waitFor();
    if (narrow) await keys.use("button", "Review");
    const merges = forge.gitea.merges.length;
    await keys.use("button", "Merge");
    await keys.at("combobox", "How");
    await keys.use("button", "Merge into main");
    await gone("dialog");
    await panel.getByText("merged", { exact: true }).waitFor();
    expect(forge.gitea.merges).toHaveLength(merges + 1);
    await keys.look("merging");
  };

  test(
    "a review goes from its files to a line, a comment, the agent, a pull request and the merge",
    () => review({ narrow: false }),
    TIMEOUT_MS,
  );

  /** Two sessions whose work is given up, of which one is retried and one resolved. */
  const decide = async (first: string, second: string) => {
    await start(AWAY, first);
    await start(AWAY, second);
    await page.keyboard.press("g");
    await page.keyboard.press("f");
    await page.getByRole("heading", { name: "Dead letters", level: 1 }).waitFor();
    for (const text of [first, second])
      await page
        .getByRole("listitem")
        .filter({ hasText: text })
        .waitFor({ timeout: TIMEOUT_MS / 2 });
    await keys.press("j", "Enter");
    await opensTwice("Retry …", "Notes");
    await keys.use("button", "Retry");
    await page.getByText("Queued again: 1 dead letter").last().waitFor();
    await gone("dialog");
    await keys.look("retrying");
    await keys.tabTo("checkbox", /^Select all/, "Shift+Tab");
    await keys.press("Space");
    await keys.use("button", /^Resolve \d …$/);
    await keys.at("textbox", "Notes");
    await keys.press("Control+Enter");
    await page
      .getByText(/^Resolved: \d dead letter/)
      .last()
      .waitFor();
    await gone("dialog");
    await keys.look("resolving");
  };

  test("dead letters are retried and resolved", () => decide("Away first", "Away second"), TIMEOUT_MS);

  test(
    "a session is started, reviewed and merged on 360 px, where parts of a page are shown one at a time",
    async () => {
      await page.setViewportSize(NARROW);
      await keys.tabTo("link", "New");
      await start(forge.host.repo, "Make it on a phone");
      await review({ narrow: true });
    },
    TIMEOUT_MS,
  );

  test(
    "signing out is in the user's menu; no page has complained",
    async () => {
      await keys.tabTo("button", /^Menu of/, "Shift+Tab");
      await keys.press("Enter");
      await page.getByRole("menu").waitFor();
      for (let stop = 0; stop < 12; stop += 1) {
        if (
          await page
            .locator(":focus")
            .and(page.getByRole("menuitem", { name: "Sign out", exact: true }))
            .count()
        )
          break;
        await keys.press("ArrowDown");
      }
      await page.keyboard.press("Enter");
      await page.getByText("prompt-backend open").waitFor();
      expect(forge.on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );
}
