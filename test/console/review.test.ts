import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Locator, Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { inspect, OPEN_TIMEOUT_MS } from "./fixture.ts";
import { type ForgeConsole, openForgeConsole } from "./forge-fixture.ts";

const TIMEOUT_MS = 120_000;
const LINES = 5_000;
const APP = Array.from({ length: 60 }, (_, index) => `export const value${index + 1} = ${index + 1};`);
/** What is told to do everything makes what a reviewer should not have to fear; the others change two lines. */
const AGENT = String.raw`
case "$(cat)" in
*everything*)
  seq 1 ${LINES} | sed 's/.*/export const entry& = compute(&);/' > src/big.ts
  printf 'alert(1)\n' > 'src/<img src=x onerror=alert(1)>.html'
  printf 'const a = "\342\200\256 hidden";\n' > "$(printf 'src/\342\200\256gnp.ts')"
  printf '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" onload="alert(2)"><script>alert(3)</script></svg>' > evil.svg
  head -c 300000 /dev/zero | tr '\0' 'a' > long.js
  : > empty.txt
  seq 1 120000 > numbers.txt
  chmod +x README.md
  git mv src/old.ts src/moved.ts
  rm gone.txt
  ;;
*)
  sed -i 's/value20 = 20/value20 = 2000/; s/value40 = 40/value40 = 4000/' src/app.ts
  ;;
esac
echo done`;

if (findChromium()) describe("the review", inBrowser);
else unavailable({ name: "the review of the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let forge: ForgeConsole;
  let { on, host, gitea } = {} as ForgeConsole;
  beforeAll(async () => {
    forge = await openForgeConsole({
      files: {
        "README.md": "# Test\n",
        "src/app.ts": `${APP.join("\n")}\n`,
        "src/old.ts": "export const old = 1;\nexport const older = 2;\n",
        "gone.txt": "gone\n",
      },
      agent: AGENT,
    });
    ({ on, host, gitea } = forge);
  }, OPEN_TIMEOUT_MS);
  afterAll(() => forge?.[Symbol.asyncDispose](), TIMEOUT_MS);

  /** A session whose first prompt has ended. */
  const reviewable = async (text: string): Promise<string> => {
    const { sessionId } = await on.backend.submit(host.repo, text);
    await on.backend.waitForStatus(sessionId, ["NeedsReview", "NeedsReviewIpReturned"], TIMEOUT_MS);
    await host.showBranches(gitea.branches);
    return sessionId;
  };
  const open = async (id: string, more = "") => {
    const page = await on.open(`/s/${id}/review${more}`);
    await page.getByRole("region", { name: "Changes" }).getByRole("heading").first().waitFor();
    return page;
  };
  const prompts = async (id: string) =>
    (await on.backend.request("GET", `/sessions/${id}/prompts`)).body.prompts;

  test(
    "by keyboard alone: a line is found, commented on, shown to another browser, and sent to the agent",
    async () => {
      const id = await reviewable("Change two values");
      const [page, other] = await Promise.all([open(id), open(id)]);
      await page.keyboard.press("n");
      await focused(page, "Line 20, removed");
      await page.keyboard.press("ArrowDown");
      await focused(page, "Line 20, added");
      await page.keyboard.press("n");
      await page.keyboard.press("p");
      await focused(page, "Line 20, removed");
      await page.keyboard.press("c");
      await page.keyboard.type("Why not <b>20</b>?");

      // What is not saved yet survives a reload.
      await page.reload();
      const draft = page.getByLabel("Comment on line 20 before the change");
      expect(await draft.inputValue()).toBe("Why not <b>20</b>?");
      await draft.press("Control+Enter");
      for (const one of [page, other])
        await one.getByRole("article", { name: "Comment" }).first().getByText("Why not <b>20</b>?").waitFor();

      await page.getByRole("button", { name: "Send 1 comment to the agent" }).press("Enter");
      await page.getByLabel("What it begins with").fill("Please answer.");
      await page.getByRole("dialog").getByRole("button", { name: "Send", exact: true }).press("Enter");
      await page.waitForURL(`**/s/${id}`);
      const [, followUp] = await prompts(id);
      expect(JSON.stringify(followUp.data)).toContain("Please answer.");
      expect(JSON.stringify(followUp.data)).toContain("src/app.ts");
      await other.getByText("1 comment sent before").waitFor();
    },
    TIMEOUT_MS,
  );

  /** Cause: on a busy machine the keyboard got there late, and took itself out of the comment that was begun meanwhile. */
  test(
    "keys that come before the keyboard is where the last one led are about that place",
    async () => {
      const page = await open(await reviewable("Change two values"));
      const goOn = await holdFrames(page);
      for (const key of ["n", "n", "c"]) await page.keyboard.press(key);
      const text = page.getByLabel("Comment on line 40 before the change");
      await text.and(page.locator(":focus")).waitFor();
      await goOn();
      await page.keyboard.type("Here.");
      expect(await text.inputValue()).toBe("Here.");
    },
    TIMEOUT_MS,
  );

  /** Cause: the browser dropped the focus with the list that went away, which was taken for the user's going elsewhere. */
  test(
    "what is picked in a part that goes away on a narrow screen gets the keyboard, also late",
    async () => {
      const page = await open(await reviewable("Change two values"));
      await page.setViewportSize({ width: 360, height: 640 });
      await page.getByRole("button", { name: "Files", exact: true }).press("Enter");
      const entry = page
        .getByRole("region", { name: "Changed files" })
        .getByRole("button", { name: "app.ts" });
      await entry.waitFor();
      const goOn = await holdFrames(page);
      await entry.press("Enter");
      await entry.waitFor({ state: "hidden" });
      const left = () => page.evaluate<boolean>('!document.activeElement.matches(".file-entry")');
      await until(left, { what: "the focus to leave what is hidden" });
      await goOn();
      await focused(page, "src/app.ts");
    },
    TIMEOUT_MS,
  );

  /** Cause: only what is removed was noticed to take the focus along, not what is hidden. */
  test(
    "a part that has the keyboard and is hidden, because the window gets narrow, leaves it to what is around it",
    async () => {
      const page = await open(await reviewable("Change two values"));
      const button = page.getByRole("button", { name: "Create a pull request" });
      await button.focus();
      await page.setViewportSize({ width: 360, height: 640 });
      await button.waitFor({ state: "hidden" });
      await page.locator(".review:focus").waitFor();
      // Tab goes on from there.
      await page.keyboard.press("Tab");
      await page.locator(".review :focus").waitFor();
    },
    TIMEOUT_MS,
  );

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

/** From now on the page's frames come when it is told to go on, as on a busy machine. @returns what tells it. */
async function holdFrames(page: Page): Promise<() => Promise<unknown>> {
  await page.evaluate(`{
    const real = requestAnimationFrame, frames = [];
    window.requestAnimationFrame = (frame) => frames.push(frame);
    window.goOn = () => {
      window.requestAnimationFrame = real;
      for (const frame of frames) real(frame);
      return new Promise((done) => real(() => real(done)));
    };
  }`);
  return () => page.evaluate("goOn()");
}

/** Waits until the keyboard is at what has this name. */
async function focused(page: Page, name: string): Promise<void> {
  const button: Locator = page.locator(":focus").and(page.getByRole("button", { name }));
  await button.waitFor();
}
