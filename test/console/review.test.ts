import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { inspect, OPEN_TIMEOUT_MS } from "./fixture.ts";
import { focused, LINES, openReviews, type Reviews, TIMEOUT_MS } from "./review-fixture.ts";

if (findChromium()) describe("the review", inBrowser);
else unavailable({ name: "the review of the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let reviews: Reviews;
  let { on, host, gitea, reviewable, open, prompts } = {} as Reviews;
  beforeAll(async () => {
    reviews = await openReviews();
    ({ on, host, gitea, reviewable, open, prompts } = reviews);
  }, OPEN_TIMEOUT_MS);
  afterAll(() => reviews?.[Symbol.asyncDispose](), TIMEOUT_MS);

  test(
    "a comment whose answer was lost is saved once, and what is saved cannot be changed meanwhile",
    async () => {
      const id = await reviewable("Change two values for a comment");
      const page = await open(id);
      await page.keyboard.press("n");
      await focused(page, "Line 20, removed");
      await page.keyboard.press("c");
      await page.keyboard.type("Once");
      const box = page.getByLabel("Comment on line 20 before the change");
      const answer = Promise.withResolvers<void>();
      await page.route("**/comments", async (route) => {
        if (route.request().method() !== "POST") return route.continue();
        await route.fetch();
        await answer.promise;
        await route.fulfill({ status: 400, json: { err: "bad_request", msg: "lost", code: "bad_request" } });
      });
      await box.press("Control+Enter");
      await until(async () => !(await box.isEditable()), { what: "the box to wait for the answer" });
      answer.resolve();
      await page.getByText("The comment was not saved").first().waitFor();
      await page.unroute("**/comments");
      await page.reload();
      await box.press("Control+Enter");
      await box.waitFor({ state: "detached" });
      expect((await on.backend.request("GET", `/sessions/${id}/comments`)).body.comments).toHaveLength(1);
    },
    TIMEOUT_MS,
  );

  test(
    "a dialog that is closed keeps what was written in it, and says what fails after that",
    async () => {
      const page = await open(await reviewable("Change two values to send"));
      const dialog = page.getByRole("dialog");
      await page.getByRole("button", { name: "Create a pull request" }).click();
      await dialog.getByLabel("Description").fill("Both values");
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      await page.getByRole("button", { name: "Create a pull request" }).click();
      expect(await dialog.getByLabel("Description").inputValue()).toBe("Both values");
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });

      await page.keyboard.press("n");
      await focused(page, "Line 20, removed");
      await page.keyboard.press("c");
      await page.keyboard.type("Why?");
      await page.keyboard.press("Control+Enter");
      const send = page.getByRole("button", { name: "Send 1 comment to the agent" });
      await send.click();
      await dialog.getByLabel("What it begins with").fill("Please answer.");
      const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      await page.route("**/comments/send", async (route) => {
        asked.resolve();
        await answer.promise;
        await route.fulfill({
          status: 400,
          json: { err: "bad_request", msg: "not now", code: "bad_request" },
        });
      });
      await dialog.getByRole("button", { name: "Send", exact: true }).click();
      await asked.promise;
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      answer.resolve();
      await page.getByText("The comments were not sent").first().waitFor();
      await send.click();
      expect(await dialog.getByLabel("What it begins with").inputValue()).toBe("Please answer.");
    },
    TIMEOUT_MS,
  );

  test(
    "the branch takes its target in; a pull request is made, shows its checks, and is merged",
    async () => {
      const id = await reviewable("Change two values again");
      const page = await open(id);
      const main = (await host.git("rev-parse", "main")).trim();
      const tree = (await host.git("rev-parse", "main^{tree}")).trim();
      const identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"];
      const next = await host.git(...identity, "commit-tree", tree, "-p", main, "-m", "Meanwhile");
      await host.git("update-ref", "refs/heads/main", next.trim());
      await page.getByRole("button", { name: "Sync with main" }).click();
      await page.getByText("Sync done").waitFor({ timeout: TIMEOUT_MS });
      expect((await prompts(id)).map(({ kind }: { kind: string }) => kind)).toEqual(["agent", "sync"]);

      await host.showBranches(gitea.branches);
      const { branch } = await on.backend.session(id);
      const head = gitea.branches.get(branch) ?? "";
      const check = { target_url: "javascript:alert(4)", status: "success", context: "build <b>" };
      gitea.statuses.set(head, [check]);
      await page.getByRole("button", { name: "Create a pull request" }).click();
      await page.getByRole("dialog").getByLabel("Title").fill("Two <i>values</i>");
      await page.getByRole("dialog").getByRole("button", { name: "Create", exact: true }).click();
      const panel = page.getByRole("region", { name: "Pull request" });
      await panel.getByText("Two <i>values</i>").waitFor();
      await panel.getByRole("list", { name: "Checks" }).getByText("build <b>").waitFor();
      await panel.getByText("passed").waitFor();
      expect(await panel.getByRole("link", { name: "build" }).count()).toBe(0);

      await panel.getByRole("button", { name: "Merge" }).click();
      const dialog = page.getByRole("dialog");
      expect(await dialog.textContent()).toContain(`${branch} at ${head.slice(0, 8)} goes into main`);
      await dialog.getByRole("button", { name: "Merge into main" }).click();
      await panel.getByText("merged", { exact: true }).waitFor();
      expect(gitea.merges).toHaveLength(1);
    },
    TIMEOUT_MS,
  );

  test(
    "the agent is asked once to resolve conflicts, also where the answer was lost",
    async () => {
      const id = await reviewable("Change two values into a conflict");
      const page = await open(id);
      const conflicts = { status: "conflicts", message: "Conflicts: a", suggested_prompt: "Resolve them" };
      await page.route("**/sync", (route) => route.fulfill({ json: { success: true, ...conflicts } }));
      await page.getByRole("button", { name: "Sync with main" }).click();
      await page.route("**/prompts", async (route) => {
        if (route.request().method() !== "POST") return route.continue();
        await route.fetch();
        await route.fulfill({ status: 400, json: { err: "bad_request", msg: "lost", code: "bad_request" } });
      });
      const ask = page.getByRole("button", { name: "Have the agent resolve it" });
      await ask.click();
      await page.getByText("The agent was not asked").first().waitFor();
      await page.unroute("**/prompts");
      await ask.click();
      await page.waitForURL(`**/s/${id}`);
      expect(await prompts(id)).toHaveLength(2);
    },
    TIMEOUT_MS,
  );

  test(
    "all lines of a file that cannot be read are asked for again",
    async () => {
      const page = await open(await reviewable("Change two values to read them all"));
      const header = page.locator(".file-header", { hasText: "src/app.ts" });
      await page.route("**/diff?*", (route) =>
        route.fulfill({ status: 400, json: { err: "bad_request", msg: "not now", code: "bad_request" } }),
      );
      await header.getByRole("button", { name: "All lines" }).click();
      await page.getByRole("alert").getByText("not now").waitFor();
      await page.unroute("**/diff?*");
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByText("value1 =").first().waitFor();
      expect(await page.getByRole("alert").count()).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "what is viewed is folded, and unfolded when it no longer is, by the box and by the key",
    async () => {
      const page = await open(await reviewable("Change two values to view them"));
      const fold = (expanded: boolean) => page.locator(`.file-fold[aria-expanded=${expanded}]`);
      const box = page.getByRole("checkbox", { name: "Viewed" });
      await box.click();
      await fold(false).waitFor();
      // To look at it once more.
      await fold(false).click();
      await fold(true).waitFor();
      await page.keyboard.press("v");
      await page.getByText("0 of 1 viewed").waitFor();
      await page.keyboard.press("v");
      await page.getByText("1 of 1 viewed").waitFor();
      await fold(false).click();
      await fold(true).waitFor();
      await box.click();
      await page.getByText("0 of 1 viewed").waitFor();
      await fold(true).waitFor();
    },
    TIMEOUT_MS,
  );

  describe("what may be hostile", () => {
    let id: string;
    beforeAll(async () => {
      id = await reviewable("Do everything <img src=x onerror=alert(5)>");
    }, OPEN_TIMEOUT_MS);

    test(
      "is text: names, lines, pictures and titles run nothing, and what would not be seen is written out",
      async () => {
        const page = await open(id);
        const files = page.getByRole("complementary", { name: "Files" });
        await files.getByText("<img src=x onerror=alert(1)>.html").waitFor();
        const tricky = files.getByRole("button", { name: "⟨U+202E⟩gnp.ts" });
        await tricky.click();
        const diff = page.getByRole("region", { name: "Changes" });
        await diff.getByText('"⟨U+202E⟩ hidden"').waitFor();
        await files.getByRole("button", { name: "evil.svg" }).click();
        await diff.getByAltText("After the change").waitFor();
        await files.getByRole("button", { name: "long.js" }).click();
        await diff.getByText("299,000 more characters").waitFor();
        for (const [name, words] of [
          ["empty.txt", "An empty file, added."],
          ["README.md", "is an executable file"],
          ["moved.ts", "Renamed from src/old.ts."],
        ] as const) {
          await files.getByRole("button", { name }).click();
          await diff.getByText(words).waitFor();
        }
        expect(on.complaints).toEqual([]);
      },
      TIMEOUT_MS,
    );

    test(
      "a picture that could not be read or shown is shown once it can be, and a whole file stays when reading it again fails",
      async () => {
        const id = await reviewable("Do everything for a picture");
        const page = await open(id);
        const files = /\/sessions\/[^/]+\/files\?/;
        const refused = { err: "bad_request", msg: "not now", code: "bad_request" };
        const refuse = () => page.route(files, (route) => route.fulfill({ status: 400, json: refused }));
        /** Reads all of it again, as after each change of the session. */
        const change = (title: string) => on.backend.request("POST", "/prompts", followUp(id, title));
        await refuse();
        await page.reload();
        await page
          .getByRole("complementary", { name: "Files" })
          .getByRole("button", { name: "evil.svg" })
          .click();
        const diff = page.getByRole("region", { name: "Changes" });
        await diff.getByRole("alert").getByText("not now").waitFor();
        await page.unroute(files);
        await page.route(files, (route) => route.fulfill({ contentType: "image/png", body: "no picture" }));
        await diff.getByRole("button", { name: "Try again" }).click();
        await diff.getByText("This browser cannot show it.").waitFor();
        await page.unroute(files);
        await change("Once more");
        await diff.getByAltText("After the change").waitFor();

        await page.goto(`${on.url}/s/${id}/review?file=src/app.ts`);
        await page.getByText("value1 =").waitFor();
        await refuse();
        const read = page.waitForResponse(files);
        await change("And again");
        await (await read).finished();
        await on.backend.waitForStatus(id, ["NeedsReview", "NeedsReviewIpReturned"], TIMEOUT_MS);
        await settled(page);
        expect(await page.getByText("value1 =").count()).toBe(1);
      },
      TIMEOUT_MS,
    );

    test(
      "5,000 lines are drawn as far as they are seen, and have addresses",
      async () => {
        const page = await open(id, "#src/big.ts");
        await focused(page, "big.ts");
        expect(await page.getByText("entry1 =").count()).toBe(0);
        await page.keyboard.press("Enter");
        await page.getByText("entry1 =").waitFor();
        await page.keyboard.press("n");
        await focused(page, "Line 1, added");
        await until(
          async () => {
            await page.keyboard.press("End");
            return (await page.getByText(`entry${LINES} =`).count()) > 0;
          },
          { what: "the last line", timeoutMs: TIMEOUT_MS },
        );
        await focused(page, "Line 1, added");
        expect(await page.locator(".line-number").count()).toBeLessThan(500);

        // The service leaves out what has more than half a megabyte, until it is asked for.
        await page.getByRole("searchbox", { name: "Filter files" }).fill("numbers");
        await page.getByRole("button", { name: "numbers.txt" }).first().click();
        await focused(page, "numbers.txt");
        await page.keyboard.press("Enter");
        await page.getByRole("button", { name: "Load the diff" }).click();
        await page.getByRole("button", { name: "Line 7, added" }).waitFor();

        await page.goto(`${on.url}/s/${id}/review?file=src/big.ts#src/big.ts:L4321`);
        await focused(page, "Line 4321, unchanged");
        expect(await page.locator(".diff-code-selected").textContent()).toContain("entry4321 =");
      },
      TIMEOUT_MS,
    );

    test(
      "what a comment is changed to is not lost when it is scrolled out of sight, nor over a reload",
      async () => {
        const page = await open(id, "#README.md");
        const files = page.getByRole("complementary", { name: "Files" });
        await focused(page, "README.md");
        await page.keyboard.press("c");
        await page.keyboard.type("First words");
        await page.keyboard.press("Control+Enter");
        const diff = page.getByRole("region", { name: "Changes" });
        await diff.getByRole("button", { name: "Edit" }).click();
        const box = diff.getByLabel("Change the comment");
        await box.fill("Second words");
        await files.getByRole("button", { name: "numbers.txt" }).click();
        await focused(page, "numbers.txt");
        await box.waitFor({ state: "detached" });
        await files.getByRole("button", { name: "README.md" }).click();
        expect(await box.inputValue()).toBe("Second words");
        await page.reload();
        expect(await box.inputValue()).toBe("Second words");
        await box.press("Control+Enter");
        await diff.getByRole("article").getByText("Second words").waitFor();
        expect(await page.getByLabel("Change the comment").count()).toBe(0);
      },
      TIMEOUT_MS,
    );

    test(
      "what was viewed stays so, folded, after a reload",
      async () => {
        const page = await open(id);
        await page.keyboard.press("j");
        await focused(page, "README.md");
        await page.keyboard.press("v");
        await page.getByText(/^1 of \d+ viewed$/).waitFor();
        await page.reload();
        await page.getByText(/^1 of \d+ viewed$/).waitFor();
        expect(await page.getByRole("button", { name: "README.md", expanded: false }).count()).toBe(1);
      },
      TIMEOUT_MS,
    );

    test(
      "every part of the page is accessible in both themes, and fits a phone",
      async () => {
        const page = await open(id);
        expect(await inspect(page, "review")).toEqual([]);
        await page.getByRole("button", { name: "Create a pull request" }).click();
        await page.getByRole("dialog").waitFor();
        expect(await inspect(page, "review-create")).toEqual([]);
        await page.goto(`${on.url}/s/${id}/review?file=src/app.ts`);
        await page.locator(".line-number").first().waitFor();
        expect(await inspect(page, "review-file")).toEqual([]);
        expect(on.complaints).toEqual([]);
      },
      TIMEOUT_MS,
    );
  });
}

const followUp = (id: string, content: string) => ({
  session_id: id,
  data: [{ type: "text", content }],
});

/** Waits until the page has drawn what it has heard. */
const settled = (page: Page) =>
  page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
