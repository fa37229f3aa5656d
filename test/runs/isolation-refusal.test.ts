import { afterAll, beforeAll, expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { createDemoAgent } from "../../src/agents/demo.ts";
import { prompt } from "../../src/db/tables.ts";
import { MAX_CLAIMS } from "../../src/runs/failures.ts";
import { openSandboxFixture, type SandboxFixture } from "../sandboxes/fixture.ts";
import { describeRuns, LIMITS, shellAgent } from "./fixture.ts";

// Without bubblewrap agents ran all the same, and read the real keys from /proc.
describeRuns("a machine that cannot isolate agents", (fixture) => {
  let closed: SandboxFixture;
  let open: SandboxFixture;
  beforeAll(async () => {
    closed = await openSandboxFixture({
      isolated: false,
      env: { ALLOW_UNISOLATED_AGENTS: "0", GITHUB_URL: "http://127.0.0.1:9" },
    });
    open = await openSandboxFixture({ isolated: false, env: { ALLOW_UNISOLATED_AGENTS: "1" } });
  });
  afterAll(async () => {
    await closed.remove();
    await open.remove();
  });

  test("its prompts wait, and say why; nothing was run", async () => {
    const { depsFor, submit, run, promptRow, sessionRow, textsOf } = fixture();
    const { sessionId, promptId } = await submit();
    await run(promptId, depsFor(shellAgent("echo ran"), { sandboxes: closed.provider }));
    const row = await promptRow(promptId);
    expect(row).toMatchObject({ status: "Queued", attempt: 0, process: null });
    expect(row?.notBefore?.getTime()).toBeGreaterThan(Date.now());
    expect((await sessionRow(sessionId))?.sbxConfig).toBeNull();
    expect(row?.error).toContain(
      "Waiting: this machine cannot isolate agents: bubblewrap is not installed; install it (Debian: apt-get install bubblewrap)",
    );
    expect(await textsOf(promptId)).toEqual([]);
  });

  // Each claim without an end counted, so that a prompt died after a night of waiting, or 25 minutes of a full disk.
  test.each([
    ["isolation", () => ({ sandboxes: closed.provider })],
    ["disk", () => ({ sandboxes: open.provider, limits: { ...LIMITS, minFreeBytes: 2 ** 60 } })],
  ])("a prompt waits for %s as long as it takes, and then runs", async (_what, lacking) => {
    const { database, depsFor, submit, run, promptRow, skipBackoff } = fixture();
    const { promptId } = await submit();
    const claimed = { leaseEpoch: MAX_CLAIMS - 1 };
    await database.orm.update(prompt).set(claimed).where(eq(prompt.id, promptId));
    for (let claims = 0; claims < 3; claims += 1) {
      await run(promptId, depsFor(shellAgent("echo ran"), lacking()));
      await skipBackoff(promptId);
    }
    expect(await promptRow(promptId)).toMatchObject({ status: "Queued", attempt: 0, failures: [] });
    await run(promptId, depsFor(shellAgent("echo ran"), { sandboxes: open.provider }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
  });

  test("the built-in demo runs", async () => {
    const { depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    await run(promptId, depsFor(createDemoAgent(), { sandboxes: closed.provider }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
  });

  // git itself ran on strangers' repositories as the service.
  test("the built-in demo waits, too, with a repository that is not the operator's own", async () => {
    const { depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit("owner/name");
    await run(promptId, depsFor(createDemoAgent(), { sandboxes: closed.provider }));
    const row = await promptRow(promptId);
    expect(row).toMatchObject({ status: "Queued", attempt: 0, failures: [] });
    expect(row?.error).toContain("Waiting: this machine cannot isolate agents: bubblewrap is not installed");
  });

  test("with ALLOW_UNISOLATED_AGENTS=1 every agent runs", async () => {
    const { depsFor, submit, run, promptRow, textsOf } = fixture();
    const { promptId } = await submit();
    await run(promptId, depsFor(shellAgent("echo ran"), { sandboxes: open.provider }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
    expect(await textsOf(promptId)).toContain("ran");
  });
});
