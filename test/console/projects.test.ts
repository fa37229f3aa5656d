import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";
import { keyboardOf } from "./keyboard.ts";

const TIMEOUT_MS = 180_000;
const ENDED = ["NeedsReview", "NeedsReviewIpReturned"];
const PROJECT = /\/p\/[0-9a-f-]{36}$/;
const VALUE = "s3cr3t-that-nobody-sees-again";
const KEY = `begin\n${VALUE}\nend`;
const HOST = "registry.invalid:443";
/** Asks for a host, by the gateway. */
const AGENT = `cat >/dev/null; for host in ${HOST} 10.1.2.3:443 mail.invalid:25; do
curl -s -m 10 -o /dev/null -p -x "$HTTPS_PROXY" "http://$host/"; done; echo asked`;
/** All that a page shows, has in its fields, and has stored. */
const EVERYTHING = `JSON.stringify([
  document.documentElement.outerHTML,
  [...document.querySelectorAll("input, textarea")].map(({ value }) => value),
  { ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.state,
])`;

if (findChromium()) describe("projects", inBrowser);
else unavailable({ name: "projects in the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let source: TestRepository;
  let on: ConsoleFixture;
  beforeAll(async () => {
    source = await makeRepository({ files: { "README.md": "# Test\n" } });
    on = await openConsole({
      env: {
        ...{ AGENT: "command", AGENT_COMMAND: JSON.stringify(["sh", "-c", AGENT]) },
        ...{ EGRESS: "list", EGRESS_ALLOW: "allowed.example" },
      },
    });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await source?.remove();
  }, TIMEOUT_MS);

  const projects = async () => (await on.backend.request("GET", "/projects")).body.projects;
  const make = async (repo: string, more: object = {}) =>
    String((await on.backend.request("POST", "/projects", { repo, ...more })).body.id);
  const read = async (id: string) => (await on.backend.request("GET", `/projects/${id}`)).body.project;
  const field = (page: Page, name: string) => page.getByRole("textbox", { name, exact: true });
  const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click();
  const typeSecret = async (page: Page, name: string, value: string) => {
    await press(page, "Add a secret");
    await page.keyboard.type(name);
    await page.keyboard.press("Tab");
    await page.keyboard.type(value);
  };
  const saved = (page: Page) => page.getByText("The project is saved").first().waitFor();
  const everything = (page: Page) => page.evaluate<string>(EVERYTHING);
  const focused = (page: Page) => page.evaluate<string>("document.activeElement.getAttribute('aria-label')");

  test(
    "one is made by keyboard alone, and the value of its secret is nowhere afterwards",
    async () => {
      const page = await on.open("/");
      const keys = keyboardOf(page);
      const replies: Promise<string>[] = [];
      page.on("response", (reply) => {
        // An event stream has no end to wait for.
        if (!reply.headers()["content-type"]?.startsWith("text/event-stream"))
          replies.push(reply.text().catch(() => ""));
      });
      await page.getByText("No sessions yet").waitFor();
      await page.keyboard.press("g");
      await page.keyboard.press("p");
      await page.getByText("A project is what a repository needs").waitFor();
      expect(await inspect(page, "projects-empty")).toEqual([]);

      await keys.use("link", "New project");
      await keys.tabTo("textbox", "Repository");
      await keys.type("owner/shop");
      await keys.tabTo("textbox", "Instructions");
      await keys.type("Be nice.");
      await keys.use("button", "Add a variable");
      await keys.at("textbox", "Name of variable 1");
      await keys.type("NODE_ENV");
      await keys.press("Tab");
      await keys.type("test");
      await keys.use("button", "Add a secret");
      await keys.at("textbox", "Name of new secret 1");
      await keys.type("DEPLOY_TOKEN");
      await keys.press("Tab");
      const value = page.getByLabel("Value of DEPLOY_TOKEN");
      expect(await value.getAttribute("type")).toBe("password");
      expect(await value.getAttribute("autocomplete")).toBe("off");
      await keys.type(VALUE);
      // The rest is a draft by now; this is not.
      const stored = await page.evaluate<string>("JSON.stringify({ ...localStorage, ...sessionStorage })");
      expect(stored).toContain("NODE_ENV");
      expect(stored).not.toContain(VALUE);
      expect(stored).not.toContain("DEPLOY_TOKEN");
      await keys.press("Control+Enter");
      await page.waitForURL(PROJECT);
      await saved(page);
      await page.getByRole("listitem").filter({ hasText: "DEPLOY_TOKEN" }).getByText("set").waitFor();
      expect(await everything(page)).not.toContain(VALUE);

      await page.reload();
      await page.getByText("DEPLOY_TOKEN").waitFor();
      const all = await everything(page);
      expect(all).toContain("NODE_ENV");
      expect(all).not.toContain(VALUE);
      expect((await Promise.all(replies)).join("\n")).toContain("DEPLOY_TOKEN");
      expect((await Promise.all(replies)).join("\n")).not.toContain(VALUE);
      expect(
        await page.evaluate<number>(
          "Object.keys(localStorage).filter((key) => key.includes(':project:')).length",
        ),
      ).toBe(0);
      const [made] = await projects();
      expect(made).toMatchObject({
        ...{ repo: "owner/shop", instructions: "Be nice.", environment: { NODE_ENV: "test" } },
        secrets: [{ name: "DEPLOY_TOKEN" }],
      });
      expect(await inspect(page, "project")).toEqual([]);

      // Replaced, then removed; the list says what is set.
      await keys.use("button", "Replace DEPLOY_TOKEN");
      await keys.type(`${VALUE}-2`);
      await keys.press("Enter");
      // The field has what was typed until the page has the reply, which is later than the service has the value.
      await page.getByRole("button", { name: "Replace DEPLOY_TOKEN" }).waitFor();
      expect((await read(made.id)).version).toBe(2);
      expect(await everything(page)).not.toContain(VALUE);
      await keys.use("button", "Remove DEPLOY_TOKEN");
      await keys.at("button", "Add a secret");
      await page.getByText("removed when you save").waitFor();
      await keys.press("Control+Enter");
      // Whoever leaves before the reply is asked whether to lose what was marked.
      await page.getByText("removed when you save").waitFor({ state: "detached" });
      expect((await read(made.id)).secrets).toEqual([]);
      await keys.tabTo("link", "Projects", "Shift+Tab");
      await keys.press("Enter");
      const row = page.getByRole("listitem").filter({ hasText: "owner/shop" });
      for (const text of ["instructions", "1 variable"]) await row.getByText(text, { exact: true }).waitFor();
      expect(await row.getByText("secret").count()).toBe(0);
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "what is wrong is said at its field, which has the keyboard; nothing that was typed is lost",
    async () => {
      const id = await make("owner/faults");
      const page = await on.open(`/p/${id}`, { phone: true });
      await press(page, "Add a variable");
      await page.keyboard.type("GOOD");
      await press(page, "Add a variable");
      await page.keyboard.type("PATH");
      await press(page, "Add a secret");
      await page.keyboard.type("1TOKEN");
      await page.getByLabel("Value of 1TOKEN").fill(VALUE);
      await press(page, "Save");
      await page.getByText(/PATH is set by the service itself/).waitFor();
      await until(async () => (await focused(page)) === "Name of variable 2", { what: "the focus at PATH" });
      expect(await inspect(page, "project-faults")).toEqual([]);

      await field(page, "Name of variable 2").fill("OTHER");
      await press(page, "Save");
      await page.getByText(/"1TOKEN" is no name of a variable/).waitFor();
      await until(async () => (await focused(page)) === "Name of new secret 1", { what: "the focus" });
      expect(await page.getByLabel("Value of 1TOKEN").inputValue()).toBe(VALUE);
      await field(page, "Name of new secret 1").fill("TOKEN");
      // A field of one line takes a key of several whole.
      await page.getByLabel("Value of TOKEN").focus();
      await page.evaluate(`(() => {
        const clipboardData = new DataTransfer();
        clipboardData.setData("text", ${JSON.stringify(KEY)});
        const paste = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
        document.activeElement.dispatchEvent(paste);
      })()`);
      await page.getByText("3 lines were pasted").waitFor();
      const sent: (string | null)[] = [];
      page.on("request", (request) => void sent.push(request.postData()));

      const servers = field(page, "MCP servers");
      await servers.fill("{ docs: ");
      await field(page, "Allowed hosts").fill("https://not a host");
      await page.getByText(/This is not JSON/).waitFor();
      await servers.fill('{"mcpServers":{"docs":{"type":"ftp"}}}');
      await press(page, "Save");
      await page.getByText(/egress_hosts: "https:\/\/not a host" is not/).waitFor();
      await field(page, "Allowed hosts").fill("registry.example\n\n *.example.org ");
      await press(page, "Save");
      await page.getByText("mcp_servers.docs.type: must be stdio, http or sse").waitFor();
      await servers.fill('{"mcpServers":{"docs":{"command":"docs"}}}');
      await page.getByLabel("Budget in US dollars").fill("much");
      await press(page, "Save");
      await page.getByText("A number of US dollars above 0").waitFor();
      await page.getByLabel("Budget in US dollars").fill("2.5");
      await page.getByLabel("Mode", { exact: true }).selectOption("ask");
      await page.getByLabel("Pull request").selectOption("draft");
      await press(page, "Save");
      await saved(page);
      expect(sent.map((body) => JSON.parse(body ?? "{}").secrets?.TOKEN)).toContain(KEY);
      expect(await read(id)).toMatchObject({
        ...{ version: 2, environment: { GOOD: "", OTHER: "" }, secrets: [{ name: "TOKEN" }] },
        ...{
          egress_hosts: ["registry.example", "*.example.org"],
          mcp_servers: { docs: { command: "docs" } },
        },
        ...{ budget_usd: 2.5, mode: "ask", pull_request: "draft", agent: null, model: null },
      });
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a change that somebody else has made is said, and joined with what was typed",
    async () => {
      const id = await make("owner/both", { instructions: "Before" });
      const page = await on.open(`/p/${id}`);
      await field(page, "Instructions").fill("Mine");
      await field(page, "Setup command").fill("npm ci");
      const theirs = { instructions: "Theirs", egress_hosts: ["theirs.example"] };
      await on.backend.request("PUT", `/projects/${id}`, theirs);
      await press(page, "Save");
      await page.getByText("This project was changed elsewhere meanwhile").waitFor();
      await page.getByText("Both have changed: Instructions.").waitFor();
      // Save is at the end of the page, and this at its beginning.
      await page.locator("h2:focus", { hasText: "changed elsewhere" }).waitFor();
      expect(await inspect(page, "project-conflict")).toEqual([]);
      expect(await field(page, "Instructions").inputValue()).toBe("Mine");
      expect(await read(id)).toMatchObject({ ...theirs, setup_command: "" });
      await press(page, "Load the other changes");
      expect(await field(page, "Allowed hosts").inputValue()).toBe("theirs.example");
      expect(await field(page, "Instructions").inputValue()).toBe("Mine");
      await press(page, "Save");
      await saved(page);
      expect(await read(id)).toMatchObject({ ...theirs, instructions: "Mine", setup_command: "npm ci" });
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  /** Cause: what was stored was forgotten with all that had been typed by then. */
  test(
    "what is typed while the project is being saved stays, and is saved with the next press",
    async () => {
      const id = await make("owner/slow", { instructions: "Before" });
      const page = await on.open(`/p/${id}`);
      const held = await holdBack(page, "PUT", `**/projects/${id}`);
      await field(page, "Instructions").fill("First");
      await press(page, "Save");
      await held.asked;
      await field(page, "Setup command").fill("npm ci");
      await typeSecret(page, "LATE", VALUE);
      held.goOn();
      await saved(page);
      expect(await field(page, "Setup command").inputValue()).toBe("npm ci");
      await page.getByText("Not saved. Secrets that you typed are not kept.").waitFor();
      expect(await read(id)).toMatchObject({ instructions: "First", setup_command: "", secrets: [] });
      await press(page, "Save");
      await page.getByRole("button", { name: "Replace LATE" }).waitFor();
      expect(await read(id)).toMatchObject({
        ...{ instructions: "First", setup_command: "npm ci", secrets: [{ name: "LATE" }] },
      });
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  /** Cause: the page of the new project began with what had been sent. */
  test(
    "what is typed while a new project is being made stands on its page, and is saved with the next press",
    async () => {
      const page = await on.open("/p/new");
      const held = await holdBack(page, "POST", "**/projects");
      await field(page, "Repository").fill("owner/made");
      await field(page, "Instructions").fill("First");
      await typeSecret(page, "EARLY", "early-value-of-it");
      await press(page, "Make the project");
      await held.asked;
      await field(page, "Setup command").fill("npm ci");
      await typeSecret(page, "LATE", VALUE);
      held.goOn();
      await page.waitForURL(PROJECT);
      await page.getByText("Not saved. Secrets that you typed are not kept.").waitFor();
      expect(await field(page, "Setup command").inputValue()).toBe("npm ci");
      expect(await page.getByLabel("Value of LATE").inputValue()).toBe(VALUE);
      const stored = await page.evaluate<string>("JSON.stringify({ ...localStorage, ...sessionStorage })");
      expect(stored).toContain("npm ci");
      expect(stored).not.toContain(VALUE);
      const id = page.url().split("/").at(-1) ?? "";
      expect(await read(id)).toMatchObject({
        instructions: "First",
        setup_command: "",
        secrets: [{ name: "EARLY" }],
      });
      await press(page, "Save");
      await page.getByRole("button", { name: "Replace LATE" }).waitFor();
      expect(await read(id)).toMatchObject({
        ...{ instructions: "First", setup_command: "npm ci", version: 2 },
        secrets: [{ name: "EARLY" }, { name: "LATE" }],
      });
      await page.goto(`${on.url}/p/new`);
      expect(await field(page, "Repository").inputValue()).toBe("");
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a draft survives leaving, and a typed secret is not lost unasked; a project is deleted after a question",
    async () => {
      const id = await make("owner/draft", { secrets: { OLD: "old-value-of-it" } });
      const page = await on.open(`/p/${id}`);
      await field(page, "Setup command").fill("make deps");
      const inbox = page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Inbox" });
      await inbox.click();
      await page.getByText("Your changes of the project are kept as a draft").waitFor();
      await press(page, "Go back");
      expect(await field(page, "Setup command").inputValue()).toBe("make deps");

      await press(page, "Replace OLD");
      await page.getByLabel("New value of OLD").fill(VALUE);
      await inbox.click();
      const dialog = page.getByRole("dialog", { name: "Leave without saving?" });
      await dialog.waitFor();
      await dialog.getByRole("button", { name: "Close" }).click();
      expect(await page.getByLabel("New value of OLD").inputValue()).toBe(VALUE);
      await inbox.click();
      await dialog.getByRole("button", { name: "Leave" }).click();
      await page.getByText("No sessions yet").waitFor();
      expect(await everything(page)).not.toContain(VALUE);

      await page.goto(`${on.url}/p`);
      await page.getByText("unsaved changes").waitFor();
      await page.getByRole("link", { name: "owner/draft" }).click();
      expect(await field(page, "Setup command").inputValue()).toBe("make deps");
      await press(page, "Discard changes");
      expect(await field(page, "Setup command").inputValue()).toBe("");
      await press(page, "Delete");
      await page.getByText("This cannot be undone.").waitFor();
      expect(await inspect(page, "project-delete")).toEqual([]);
      await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
      await page.getByText("The project is deleted").waitFor();
      await page.waitForURL(/\/p$/);
      expect((await projects()).map(({ id }: { id: string }) => id)).not.toContain(id);
      await page.goto(`${on.url}/p/${id}`);
      await page.getByText("There is no such project").waitFor();
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a refused host is allowed for the repository: it is shown before it is saved, and the next run passes the list",
    async () => {
      const { sessionId } = await on.backend.submit(source.path, "Ask");
      const id = String(sessionId);
      await on.backend.waitForStatus(id, ENDED, TIMEOUT_MS);
      const page = await on.open(`/s/${id}`);
      await press(page, "Details");
      await page.getByText("The newest run had none.").waitFor();
      await page.getByText("Private: only the operator can allow it.").waitFor();
      await page.getByText("Mail: only the operator can allow it.").waitFor();
      // The rule of the project is read by itself.
      await page
        .getByRole("link", { name: /^Allow / })
        .first()
        .waitFor();
      expect(await page.getByRole("link", { name: /^Allow / }).count()).toBe(1);
      expect(await inspect(page, "session-refused")).toEqual([]);
      // The same leads there from what admins see of all sessions.
      await page.goto(`${on.url}/system`);
      const listed = page.getByRole("region", { name: "Refused hosts" });
      await listed.getByRole("link", { name: `Allow for this repository: ${HOST}` }).waitFor();
      expect(await listed.getByRole("link", { name: /^Allow / }).count()).toBe(1);
      expect(await inspect(page, "system-hosts")).toEqual([]);
      await listed.getByRole("link", { name: `Allow for this repository: ${HOST}` }).click();
      await page.getByText(`${HOST} was added to the list.`).waitFor();
      expect(await field(page, "Repository").inputValue()).toBe(source.path);
      expect(await field(page, "Allowed hosts").inputValue()).toBe(HOST);
      expect((await projects()).filter(({ repo }: { repo: string }) => repo === source.path)).toEqual([]);
      await press(page, "Make the project");
      await page.waitForURL(PROJECT);
      await saved(page);

      // The list is behind it now: what refuses it is that there is no such name.
      await on.backend.request("POST", "/prompts", {
        session_id: id,
        data: [{ type: "text", content: "Again" }],
      });
      const rules = async () =>
        (await on.backend.request("GET", `/sessions/${id}/egress`)).body.requests
          .filter(({ host }: { host: string }) => HOST.startsWith(host))
          .map(({ rule }: { rule: string }) => rule);
      await until(async () => (await rules()).length === 2, {
        what: "the second run's request",
        timeoutMs: TIMEOUT_MS,
      });
      expect(await rules()).toEqual(["not in EGRESS_ALLOW", "the name does not resolve"]);
      await on.backend.waitForStatus(id, ENDED, TIMEOUT_MS);

      // What the run had; and the form of a session leads to the same project.
      await page.goto(`${on.url}/s/${id}`);
      await press(page, "Details");
      await page.getByRole("link", { name: "Version 1" }).click();
      await page.waitForURL(PROJECT);
      const address = page.url();
      await page.goto(`${on.url}/new`);
      await page.getByRole("combobox", { name: "Repository" }).fill(source.path);
      await page.keyboard.press("Escape");
      await page.getByRole("link", { name: "Project settings" }).click();
      await page.waitForURL(address);
      expect(await field(page, "Allowed hosts").inputValue()).toBe(HOST);
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );
}

/** Keeps the page's requests of this kind from the service until they may go on. */
async function holdBack(page: Page, method: string, url: string) {
  const asked = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  await page.route(url, async (route) => {
    if (route.request().method() === method) {
      asked.resolve();
      await goOn.promise;
    }
    await route.continue();
  });
  return { asked: asked.promise, goOn: goOn.resolve };
}
