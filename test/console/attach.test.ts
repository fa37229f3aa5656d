import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Page } from "playwright-core";
import { wholePng } from "../attachments/pictures.ts";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";

const TIMEOUT_MS = 120_000;
const PICTURE = join(import.meta.dir, "../../src/console/static/icon-192.png");
const MIB = 1024 * 1024;
/** Of a stranger: a name that would be HTML, and would turn the direction of text. */
const EVIL = "<img src=x onerror=alert(1)>\u202etxt.csv";

/** Says which files it has, with their types and sizes; one that is to talk waits for a message first. */
const AGENT = String.raw`
prompt=$(cat)
say() { printf '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"%s"}]}}\n' "$1"; }
case "$prompt" in *talk*) say begun; until ls "$AGENT_MAILBOX" | grep -q '^steer-'; do sleep 0.1; done ;; esac
printf '%s\n' "$prompt" | sed -n 's|^- /.*/\([^/]* (.* bytes)\)$|\1|p' | tr '"' ' ' | while read -r line; do say "has $line"; done
say done`;

/** Pictures that are held in a page's memory. */
const COUNT_URLS = `
globalThis.openUrls = new Set();
const { createObjectURL, revokeObjectURL } = URL;
URL.createObjectURL = (blob) => { const url = createObjectURL(blob); openUrls.add(url); return url; };
URL.revokeObjectURL = (url) => { openUrls.delete(url); revokeObjectURL(url); };`;
/** Whether the page has refused what was dragged last. */
const TELL_REFUSED = `addEventListener("dragover", (event) => {
  globalThis.refused = event.defaultPrevented && event.dataTransfer.dropEffect === "none";
});`;
/** Files are not read until the page is told to go on. */
const HOLD_READING = `
const { readAsDataURL } = FileReader.prototype;
FileReader.prototype.readAsDataURL = function (file) {
  globalThis.goOnReading = () => readAsDataURL.call(this, file);
};`;

if (findChromium()) describe("what is attached to prompts", inBrowser);
else unavailable({ name: "attaching files in the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let source: TestRepository;
  let on: ConsoleFixture;
  let folder: string;
  const file = async (name: string, content: string | Uint8Array) => {
    const path = join(folder, name);
    await Bun.write(path, content);
    return path;
  };

  beforeAll(async () => {
    source = await makeRepository();
    const command = ["/bin/sh", "-c", AGENT];
    const talker = { name: "talker", title: "Talker", command, protocol: "lines", steering: true };
    on = await openConsole({
      env: {
        AGENT: "command",
        AGENT_COMMAND: JSON.stringify(command),
        AGENTS: JSON.stringify([talker]),
      },
    });
    folder = join(on.deployment.dataDir, "files");
    await mkdir(folder, { recursive: true });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await source?.remove();
  }, TIMEOUT_MS);

  const opened = async () => {
    const page = await on.open("/new");
    await page.getByRole("combobox", { name: "Repository" }).fill(source.path);
    await page.getByRole("combobox", { name: "Repository" }).press("Escape");
    return page;
  };
  const text = (page: Page) => page.getByRole("textbox", { name: "What shall be done?" });
  const followUp = (page: Page) => page.getByRole("textbox", { name: "Follow-up" });
  const attached = (page: Page) => page.getByRole("list", { name: "Attached files" }).getByRole("listitem");
  const sent = (page: Page) => page.getByRole("list", { name: "Attachments" }).getByRole("listitem");
  const news = (page: Page, words: string | RegExp) =>
    page.locator("form [role=status]").filter({ hasText: words }).waitFor({ state: "attached" });
  const shows = (page: Page, words: string) => page.getByText(words, { exact: true }).waitFor();
  /** By the button, as a person chooses files. */
  const choose = async (page: Page, ...paths: string[]) => {
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Attach files" }).click();
    await (await chooser).setFiles(paths);
  };
  /** Files of the desktop over an element, or beside it: the browser's own events. */
  const drag = async (page: Page, over: string, ...files: string[]) => {
    const { x = 0, y = 0, width = 0, height = 0 } = (await page.locator(over).boundingBox()) ?? {};
    const devTools = await page.context().newCDPSession(page);
    return (type: "dragEnter" | "dragOver" | "drop", beside = false) =>
      devTools.send("Input.dispatchDragEvent", {
        ...(beside ? { type, x: 1, y: 1 } : { type, x: x + width / 2, y: y + height / 2 }),
        data: { items: [], files, dragOperationsMask: 1 },
      });
  };
  const pictureIsShown = (page: Page, within: string) =>
    until(
      () =>
        page.evaluate<boolean>(
          `document.querySelector(${JSON.stringify(`${within} img`)})?.naturalWidth > 0`,
        ),
      { what: `the picture in ${within}` },
    );

  test(
    "a picture is pasted, text stays text, files are dropped and chosen; all are sent with the prompt, and shown with it",
    async () => {
      const page = await opened();
      await page.evaluate(COUNT_URLS);
      await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
      const copy = (script: string) => page.evaluate(script);
      await text(page).focus();
      await copy(`navigator.clipboard.writeText("Look at these")`);
      await page.keyboard.press("Control+v");
      expect(await text(page).inputValue()).toBe("Look at these");
      const picture = `fetch("/console/icon-192.png").then((reply) => reply.blob())`;
      await copy(
        `${picture}.then((blob) => navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]))`,
      );
      await page.keyboard.press("Control+v");
      await news(page, /^Attached image\.png, \d+\.\d kB\.$/);
      await pictureIsShown(page, ".attached");
      // An office program copies text with its picture.
      await copy(
        `${picture}.then((blob) => navigator.clipboard.write([new ClipboardItem({ "image/png": blob, "text/plain": new Blob([" and cells"], { type: "text/plain" }) })]))`,
      );
      await page.keyboard.press("Control+v");
      await until(async () => (await text(page).inputValue()) === "Look at these and cells", {
        what: "the pasted text",
      });
      expect(await attached(page).count()).toBe(1);
      expect(await page.evaluate<number>("openUrls.size")).toBe(1);

      const drop = await drag(
        page,
        "form.new",
        await file("a.csv", "a,b\n"),
        await file(EVIL.replace("/", ""), "x"),
      );
      await drop("dragEnter");
      await page.getByText("Drop the files here").waitFor();
      expect(await inspect(page, "attach-drop")).toEqual([]);
      // What is dropped beside the form must not take the page's place.
      await page.evaluate(TELL_REFUSED);
      for (const type of ["dragOver", "drop"] as const) await drop(type, true);
      await until(() => page.evaluate<boolean>("globalThis.refused"), { what: "the drop to be refused" });
      await page.getByText("Drop the files here").waitFor({ state: "detached" });
      for (const type of ["dragEnter", "dragOver", "drop"] as const) await drop(type);
      await attached(page).nth(2).waitFor();
      expect(await page.getByText("Drop the files here").count()).toBe(0);
      // A picture by its name alone.
      await choose(page, await file("notes.png", "no picture"), PICTURE);
      await attached(page).nth(4).waitFor();
      expect(await inspect(page, "attach-new")).toEqual([]);

      await page.getByRole("button", { name: "Start the session" }).click();
      await page.waitForURL(/\/s\/[0-9a-f-]{36}$/);
      for (const line of [
        "has a.csv (text/csv, 4 bytes)",
        "has notes.png (image/png, 10 bytes)",
        `has icon-192.png (image/png, ${Bun.file(PICTURE).size} bytes)`,
      ])
        await shows(page, line);
      expect(await page.evaluate<number>("openUrls.size")).toBe(0);
      expect(await page.locator(".prompt .prompt-text").textContent()).toBe("Look at these and cells");
      expect(await sent(page).allInnerTexts()).toEqual([
        expect.stringMatching(/^image\.png\s+\d+\.\d kB$/),
        expect.stringMatching(/^a\.csv\s+4 bytes$/),
        expect.stringContaining("<img src=x onerror=alert(1)>"),
        expect.stringMatching(/^notes\.png\s+10 bytes$/),
        expect.stringMatching(/^icon-192\.png/),
      ]);
      await pictureIsShown(page, ".sent");
      expect(await page.locator(".sent img").count()).toBe(2);
      expect(await inspect(page, "attach-sent")).toEqual([]);
      const saved = page.waitForEvent("download");
      await sent(page).nth(1).getByRole("link").click();
      expect(await Bun.file(await (await saved).path()).text()).toBe("a,b\n");
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "what cannot be sent says why and what to do; by keyboard alone it is removed; what the service refuses is not lost",
    async () => {
      const page = await opened();
      await text(page).fill("Look at it");
      const large = await file("large.bin", new Uint8Array(5 * MIB + 1));
      const most = await Promise.all([1, 2, 3, 4].map((n) => file(`most-${n}.bin`, new Uint8Array(5 * MIB))));
      await choose(page, large, await file("empty.txt", ""), ...most, await file("more.txt", "m"));
      await until(async () => (await page.getByText("is being read").count()) === 0, {
        what: "all to be read",
      });
      const problems = () => page.locator(".attached li[data-problem]").allInnerTexts();
      expect(await problems()).toEqual([
        expect.stringMatching(/^large\.bin.*It is larger than 5\.2 MB, the most .* Remove it, and put it/s),
        expect.stringMatching(/^empty\.txt.*It is empty\. Remove it\.$/s),
        expect.stringMatching(/^more\.txt.*With it there are more than 21\.0 MB, .* with another prompt\.$/s),
      ]);
      await news(
        page,
        /^Attached large\.bin, 5\.2 MB\. It is larger .+ Attached more\.txt, 1 bytes\. With it/,
      );
      expect(await inspect(page, "attach-problems")).toEqual([]);
      const keys: (string | undefined)[] = [];
      page.on("request", (one) => {
        if (one.url().endsWith("/sessions/with-prompt")) keys.push(one.headers()["idempotency-key"]);
      });
      await text(page).press("Control+Enter");
      await news(
        page,
        /^Not sent\. large\.bin: It is larger .+ empty\.txt: It is empty\. .+ more\.txt: With it/,
      );
      expect(keys).toEqual([]);

      const remove = async (name: string) => {
        const button = page.getByRole("button", { name: `Remove ${name}` });
        await button.focus();
        await page.keyboard.press("Enter");
        await button.waitFor({ state: "detached" });
        await news(page, `Removed ${name}.`);
        // Tab goes on from where it was.
        expect(await page.evaluate<boolean>(`document.activeElement.closest(".attached") !== null`)).toBe(
          true,
        );
      };
      for (const name of ["large.bin", "empty.txt", "most-1.bin"]) await remove(name);
      // There is room for it now.
      expect(await problems()).toEqual([]);
      for (const name of ["most-2.bin", "most-3.bin", "most-4.bin"]) await remove(name);

      await choose(page, await file("wide.png", wholePng(8_001, 1)));
      await attached(page).getByText("It has 8001 × 1 pixels, and a picture may have 8000").waitFor();
      const drop = await drag(page, "form.new", folder);
      for (const type of ["dragEnter", "dragOver", "drop"] as const) await drop(type);
      await attached(page).getByText("It could not be read: it may be a folder").waitFor();
      await remove("wide.png");
      await remove(basename(folder));

      await choose(page, PICTURE);
      const refuse = (status: number, body: object) =>
        page.route("**/sessions/with-prompt", (route) => route.fulfill({ status, json: body }), { times: 1 });
      await refuse(422, { code: "attachment_invalid", msg: "messages[0].content[2]: has 9 × 9 pixels." });
      await page.getByRole("button", { name: "Start the session" }).click();
      await attached(page)
        .nth(1)
        .getByText("The service does not take it: has 9 × 9 pixels. Remove it, or attach another one.")
        .waitFor();
      expect(await attached(page).count()).toBe(2);
      await remove("icon-192.png");
      await refuse(413, {});
      await page.getByRole("button", { name: "Start the session" }).click();
      await page
        .getByText(/^The service does not take what is attached: .+ Remove some of it\.$/)
        .first()
        .waitFor();
      expect(await page.getByRole("alert").count()).toBe(0);
      expect(await text(page).inputValue()).toBe("Look at it");
      await page.getByRole("button", { name: "Start the session" }).click();
      await shows(page, "has more.txt (text/plain, 1 bytes)");
      // Other files are another prompt; the same ones are another attempt.
      expect(keys).toEqual([expect.any(String), keys[2], expect.any(String)]);
      expect(keys[0]).not.toBe(keys[1]);
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a follow-up carries files, alone too; an agent that works does not take them, and a prompt that waits keeps them when its text is changed",
    async () => {
      const { sessionId: id } = await on.backend.submit(source.path, "Let us talk", { agent: "talker" });
      const page = await on.open(`/s/${id}`);
      await shows(page, "begun");
      const now = page.getByRole("button", { name: "Send to the agent now" });
      await now.waitFor();
      await choose(page, PICTURE);
      await pictureIsShown(page, ".attached");
      await page.getByText("an agent that works takes text only").waitFor();
      expect(await now.isDisabled()).toBe(true);
      expect(await inspect(page, "attach-follow-up")).toEqual([]);
      await followUp(page).press("Control+Enter");
      await sent(page).waitFor();
      expect(await attached(page).count()).toBe(0);
      expect(await page.locator(".prompt .prompt-text").allInnerTexts()).toEqual(["Let us talk"]);
      await page.getByRole("button", { name: "Edit", exact: true }).click();
      await page.getByRole("textbox", { name: "Text of the prompt" }).fill("What is in it?");
      await page.getByRole("button", { name: "Save" }).click();
      await shows(page, "What is in it?");
      await pictureIsShown(page, ".sent");

      await followUp(page).fill("Go on");
      await now.click();
      await shows(page, `has icon-192.png (image/png, ${Bun.file(PICTURE).size} bytes)`);
      await page.evaluate(HOLD_READING);
      const drop = await drag(page, "form.follow-up", await file("b.csv", "b\n"));
      for (const type of ["dragEnter", "dragOver", "drop"] as const) await drop(type);
      await attached(page).getByText("is being read").waitFor();
      await followUp(page).fill("And this one?");
      await page.getByRole("button", { name: "Send", exact: true }).click();
      // It waits for what is being read.
      await page.locator("form.follow-up [type=submit][aria-busy=true]").waitFor();
      await page.evaluate("goOnReading()");
      await shows(page, "has b.csv (text/csv, 2 bytes)");
      expect(await sent(page).allInnerTexts()).toEqual([
        expect.stringContaining("icon-192.png"),
        expect.stringContaining("b.csv"),
      ]);
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );
}
