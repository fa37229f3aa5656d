import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { startGitServer } from "../sandboxes/git/git-server.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";

const TIMEOUT_MS = 60_000;
const HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>";
const CLOSE_TIMEOUT_MS = 20_000;
const PASSWORD = "password-of-the-host-0123456789";

if (findChromium()) describe("the pages of those who look after the service", inBrowser);
else unavailable({ name: "dead letters and system in the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let folder: string;
  let source: TestRepository;
  let git: ReturnType<typeof startGitServer>;
  let host: ReturnType<typeof Bun.serve>;
  /** Whether the host of the repository answers. */
  let up = false;
  let on: ConsoleFixture;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-admin-"));
    source = await makeRepository({ files: { "README.md": "# Test\n" } });
    await Bun.$`git clone --quiet --bare ${source.path} ${join(folder, "project.git")}`.quiet();
    git = startGitServer({ root: folder, password: PASSWORD, isPublic: true });
    host = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        if (!up) return new Response("down", { status: 503 });
        const { pathname, search } = new URL(request.url);
        const { method, headers } = request;
        const body = await request.arrayBuffer();
        return fetch(git.url + pathname + search, {
          method,
          headers,
          body: body.byteLength > 0 ? body : null,
        });
      },
    });
    on = await openConsole({
      env: {
        ...{ AGENT: "command", AGENT_COMMAND: JSON.stringify(["sh", "-c", "echo done"]) },
        ...{ PRIVATE_GIT_HOSTS: "127.0.0.1", RETRY_TRANSIENT_HOURS: "0" },
      },
    });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await Promise.all([host?.stop(true), git?.stop(), source?.remove()]);
    await rm(folder, { recursive: true, force: true });
  }, CLOSE_TIMEOUT_MS);

  const entries = async (status: string) =>
    (await on.backend.request("GET", `/dead-letter-queue?status=${status}`)).body.entries;
  /** Sessions whose first prompt is given up, since the host is away. */
  const fail = async (...prompts: string[]) => {
    up = false;
    const before = (await entries("pending")).length;
    const repo = new URL("/project", host.url).href;
    const made = await Promise.all(prompts.map((prompt) => on.backend.submit(repo, prompt)));
    await until(async () => (await entries("pending")).length >= before + made.length, {
      what: "the dead letters",
      timeoutMs: TIMEOUT_MS,
    });
    return made;
  };
  const row = (page: Page, text: string) => page.getByRole("listitem").filter({ hasText: text });

  test(
    "a dead letter shows its evidence, and is retried by keyboard alone: its session runs",
    async () => {
      const page = await on.open("/failed");
      await page.getByRole("heading", { name: "Nothing was given up" }).waitFor();
      expect(await inspect(page, "failed-empty")).toEqual([]);

      // Nobody reloads the page: the session's event brings it.
      const [made] = await fail("Write a haiku");
      const id = made?.sessionId;
      await row(page, "Write a haiku").waitFor();
      await page.keyboard.press("j");
      await page.keyboard.press("Enter");
      const evidence = row(page, "Write a haiku");
      await evidence.getByRole("region", { name: "Last messages" }).getByText("is not available").waitFor();
      for (const text of ["Run of a prompt", "First failure", "Last failure", "Attempts"])
        await evidence.getByText(text, { exact: true }).first().waitFor();
      expect(await evidence.getByRole("link", { name: "Open the session" }).getAttribute("href")).toBe(
        `/s/${id}`,
      );
      expect(page.url()).toContain("entry=");

      up = true;
      await page.keyboard.press("r");
      await page.getByText("This cannot be undone.").waitFor();
      expect(await inspect(page, "failed-retry")).toEqual([]);
      await page.keyboard.type("It is there now");
      await page.keyboard.press("Control+Enter");
      await page.getByText("Queued again: 1 dead letter").waitFor();
      await on.backend.waitForStatus(String(id), ["NeedsReview", "NeedsReviewIpReturned"], TIMEOUT_MS);
      const [resolved] = await entries("resolved");
      expect(resolved).toMatchObject({ resolution_notes: "It is there now", resolved_by: "local" });
    },
    TIMEOUT_MS,
  );

  test(
    "a decision that fails says so in its dialog, with the request, and keeps the notes for the next attempt",
    async () => {
      await fail("Decide twice");
      const page = await on.open("/failed");
      await row(page, "Decide twice").getByRole("checkbox").press("Space");
      const broken = { code: "internal_error", msg: "Broken here", success: false };
      await page.route("**/dead-letter-queue/bulk", (route) =>
        route.fulfill({ status: 500, json: broken, headers: { "x-request-id": "req-of-the-failure" } }),
      );
      await page.keyboard.press("e");
      const dialog = page.getByRole("dialog", { name: "Resolve 1 dead letter?" });
      await dialog.getByLabel("Notes").fill("Not to be written twice");
      await page.keyboard.press("Control+Enter");
      await dialog.getByRole("alert").getByText("req-of-the-failure").waitFor();
      expect(await dialog.getByLabel("Notes").inputValue()).toBe("Not to be written twice");
      await page.unroute("**/dead-letter-queue/bulk");
      await dialog.getByLabel("Notes").press("Control+Enter");
      await page.getByText("Resolved: 1 dead letter").waitFor();
      await dialog.waitFor({ state: "detached" });
    },
    TIMEOUT_MS,
  );

  test(
    "what a run printed is text; several are selected and resolved at once",
    async () => {
      const [hostile] = await fail(HOSTILE, "Second", "Third");
      // Clients may store any message; agents print what they like.
      for (const data of [
        HOSTILE,
        { type: "assistant", message: { role: HOSTILE, content: [{ type: "text", text: HOSTILE }] } },
      ])
        await on.backend.request("POST", "/messages", { prompt_id: hostile?.promptId, data });
      const page = await on.open("/failed");
      await row(page, HOSTILE).getByRole("button").click();
      await page
        .getByRole("region", { name: "Last messages of the run" })
        .getByText(HOSTILE)
        .first()
        .waitFor();
      expect(await inspect(page, "failed-evidence")).toEqual([]);

      for (const key of ["k", "k", "k", "x", "j", "x"]) await page.keyboard.press(key);
      await page.getByText("2 selected").waitFor();
      await page.keyboard.press("e");
      await page.getByRole("dialog", { name: "Resolve 2 dead letters?" }).waitFor();
      await page.keyboard.press("Control+Enter");
      await page.getByText("Resolved: 2 dead letters").waitFor();
      await until(async () => (await entries("pending")).length === 1, { what: "one that is left" });
      await page.getByRole("link", { name: "Resolved" }).click();
      await page.waitForURL("**/failed?status=Resolved");
      // Those of the tests before are among them.
      const resolved = page.getByRole("list", { name: "Dead letters" }).getByRole("button");
      await until(async () => (await resolved.count()) === 4, { what: "the four that are resolved" });
      expect(await page.getByRole("checkbox").count()).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "system shows readiness, isolation and the service; the audit log is filtered and paged, and its address stays",
    async () => {
      const page = await on.open("/system");
      await page.getByRole("region", { name: "Readiness" }).getByText("Ready", { exact: true }).waitFor();
      await page.getByRole("region", { name: "Isolation of agents" }).waitFor();
      await page.getByRole("region", { name: "Workers" }).getByText("prompt-runner").waitFor();
      await page.getByRole("region", { name: "Queue" }).getByText("Oldest waits for").waitFor();
      await page.getByRole("region", { name: "Refused hosts" }).getByText("No agent was refused").waitFor();
      await page.getByRole("region", { name: "Service" }).getByText("embedded").first().waitFor();
      expect(await inspect(page, "system")).toEqual([]);

      await page.getByRole("link", { name: "Audit log" }).press("Enter");
      await page.getByLabel("Action").fill("session.create");
      await page.getByLabel("Action").press("Enter");
      await page.waitForURL("**/system?show=audit&action=session.create");
      const list = page.getByRole("region", { name: "Audit log" }).getByRole("listitem");
      await until(
        async () => (await list.count()) > 0 && (await list.getByText("audit.read").count()) === 0,
        {
          what: "the filtered log",
        },
      );
      await list.first().locator("summary").press("Enter");
      await list.first().getByRole("link", { name: "Open the session" }).waitFor();
      expect(await inspect(page, "system-audit")).toEqual([]);
      await page.reload();
      expect(await page.getByLabel("Action").inputValue()).toBe("session.create");
    },
    TIMEOUT_MS,
  );

  test(
    "a state that cannot be read again is not shown as the present one; entries of the log stay where older ones fail",
    async () => {
      const page = await on.open("/system");
      await page.getByRole("region", { name: "Readiness" }).waitFor();
      const failure = { code: "internal_error", msg: "Broken here", success: false };
      for (const status of [500, 503]) {
        await page.route("**/system/status", (route) => route.fulfill({ status, json: failure }));
        await page.getByRole("alert").getByText("this is the last one").waitFor();
        await page.unroute("**/system/status");
        await page.getByRole("alert").waitFor({ state: "detached" });
      }

      let asked = 0;
      await page.route("**/audit?*", async (route) => {
        if (route.request().url().includes("cursor=")) {
          asked += 1;
          return route.fulfill({ status: 500, json: failure });
        }
        const reply = await route.fetch();
        return route.fulfill({ json: { ...(await reply.json()), next_cursor: "older" } });
      });
      await page.getByRole("link", { name: "Audit log" }).press("Enter");
      const log = page.getByRole("region", { name: "Audit log" });
      await log.getByRole("button", { name: "Show older entries" }).press("Enter");
      await log.getByRole("alert").waitFor();
      expect(await log.getByRole("listitem").count()).toBeGreaterThan(0);
      const before = asked;
      await log.getByRole("button", { name: "Try again" }).press("Enter");
      await until(() => asked > before, { what: "the older entries to be asked for again" });
    },
    TIMEOUT_MS,
  );

  test(
    "who is no admin has no link to System, and a page that says whom to ask",
    async () => {
      const page = await on.open("/failed");
      await page.route("**/auth/session", async (route) => {
        const reply = await route.fetch();
        const user = { id: "ann", name: "Ann", email: null, roles: [] };
        await route.fulfill({ json: { ...(await reply.json()), auth_mode: "local", user } });
      });
      await page.goto(`${on.url}/system`);
      await page.getByRole("heading", { name: "System is for admins" }).waitFor();
      await page.getByText("Ask whoever runs this service").waitFor();
      expect(await page.getByRole("navigation", { name: "Pages" }).getByText("System").count()).toBe(0);
      expect(await inspect(page, "system-refused")).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test("no page has run what others wrote, nor asked another host", () => {
    expect(on.complaints).toEqual([]);
  });
}
