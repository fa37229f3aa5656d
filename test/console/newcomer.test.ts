import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { OPEN_TIMEOUT_MS } from "./fixture.ts";
import { type ForgeConsole, openForgeConsole } from "./forge-fixture.ts";

const TIMEOUT_MS = 60_000;
/** Writes what it is told down; slowly if it is told to. */
const AGENT = String.raw`
text=$(cat)
echo "Reading: $text"
case "$text" in *slowly*) for n in 1 2 3 4 5 6 7 8; do echo "step $n of $$"; sleep 1; done ;; esac
printf '%s\n' "$text" | tail -n 1 >> NOTES.md
echo "Written to NOTES.md"`;

if (findChromium()) describe("a newcomer, without a terminal", inBrowser);
else unavailable({ name: "a newcomer's way through the web console", reason: NO_CHROMIUM });

/** From the link that the service prints to a merged pull request, in one browser; the service is killed on the way. */
function inBrowser() {
  let forge: ForgeConsole;
  beforeAll(async () => {
    // Without arguments, as `npm start` does it: that prints the link.
    forge = await openForgeConsole({
      files: { "README.md": "# Test\n" },
      agent: AGENT,
      env: { AUTH_MODE: "local" },
      args: [],
    });
  }, OPEN_TIMEOUT_MS);
  afterAll(() => forge?.[Symbol.asyncDispose](), TIMEOUT_MS);

  test(
    "signs in by the printed link, starts a session, follows it, reviews and merges it, and signs out",
    async () => {
      const { on, host, gitea } = forge;
      const [, link = ""] = await on.backend.process.waitForLine(/(http:\/\/\S+\/#code=\S+)/, {
        timeoutMs: TIMEOUT_MS,
      });
      const page = await on.open(link.slice(on.url.length));
      await page.getByText("No sessions yet").waitFor();
      expect(page.url()).not.toContain("code");

      await page.getByRole("link", { name: "Start a session" }).click();
      await page.waitForURL("**/new");
      await page.getByLabel("Repository", { exact: true }).fill(host.repo);
      await page.keyboard.press("Tab");
      await page.keyboard.press("Tab");
      await page.keyboard.type("Note that this was slowly made");
      await page.keyboard.press("Control+Enter");
      await page.waitForURL(/\/s\/[0-9a-f-]{36}$/);
      const id = page.url().split("/").at(-1) ?? "";
      await page.getByText(/step 2 of/).waitFor();

      // In the middle of the run.
      await on.restart();
      await page.getByText("Written to NOTES.md").waitFor({ timeout: TIMEOUT_MS });
      expect(await page.getByText(/Reading: .*slowly made/).count()).toBe(1);

      await page.getByLabel("Follow-up").fill("And that it was followed up");
      await page.keyboard.press("Control+Enter");
      await until(async () => (await page.getByText("Written to NOTES.md").count()) === 2, {
        what: "the answer to the follow-up",
        timeoutMs: TIMEOUT_MS,
      });
      await page.getByText("Ready for review").first().waitFor();
      await host.showBranches(gitea.branches);

      await page.keyboard.press("Escape");
      await page
        .getByRole("link", { name: /Review/ })
        .first()
        .click();
      const changes = page.getByRole("region", { name: "Changes" });
      await changes.getByText("And that it was followed up").waitFor();
      await page.getByRole("button", { name: "Create a pull request" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Create", exact: true }).click();
      const panel = page.getByRole("region", { name: "Pull request" });
      await panel.getByRole("button", { name: "Merge" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Merge into main" }).click();
      await panel.getByText("merged", { exact: true }).waitFor();
      expect(gitea.merges).toHaveLength(1);

      await page.getByRole("button", { name: /^Menu of/ }).click();
      await page.getByRole("menuitem", { name: "Sign out", exact: true }).click();
      await page.getByText("prompt-backend open").waitFor();
      await page.goto(`${on.url}/s/${id}`);
      await page.getByText("prompt-backend open").waitFor();
      // A link works once.
      await page.goto(link);
      await page.getByRole("alert").waitFor();
      expect(on.complaints).toEqual([]);
    },
    4 * TIMEOUT_MS,
  );
}
