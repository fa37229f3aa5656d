import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { OPEN_TIMEOUT_MS } from "./fixture.ts";
import { focused, openReviews, type Reviews, TIMEOUT_MS } from "./review-fixture.ts";

if (findChromium()) describe("where the keyboard is in a review", inBrowser);
else unavailable({ name: "the keyboard in the review of the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let reviews: Reviews;
  let { on, reviewable, open, prompts } = {} as Reviews;
  beforeAll(async () => {
    reviews = await openReviews();
    ({ on, reviewable, open, prompts } = reviews);
  }, OPEN_TIMEOUT_MS);
  afterAll(() => reviews?.[Symbol.asyncDispose](), TIMEOUT_MS);

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
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );
}

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
