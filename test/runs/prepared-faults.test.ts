import { expect, test } from "bun:test";
import type { RunProject } from "../../src/projects/run-project.ts";
import { MAX_ATTEMPTS } from "../../src/runs/failures.ts";
import { prepareCheckout } from "../../src/runs/prepared.ts";
import type { Preparation } from "../../src/sandboxes/sandbox.ts";

type Args = Parameters<typeof prepareCheckout>;

const look = { head: "a", target: "a", index: [], git: "", changed: [], paths: { checkout: "", home: "" } };
const found = { key: "k", madeAt: new Date(), files: { checkout: "", home: "" } };
const failing = () => Promise.reject(new Error("EIO: a fault of the disk"));

/** How a run fails whose setup command is not the one to fail: its start throws "setup runs". */
const prepared = async (faults: Partial<Preparation>, attempt = 1) => {
  const warnings: string[] = [];
  const preparation: Partial<Preparation> = {
    ...{ keyOf: () => "k", find: async () => undefined, remove: async () => undefined, bytes: async () => 0 },
    ...{ look: async () => look, keep: async () => undefined, restore: async () => undefined },
    ...faults,
  };
  const start = () => {
    throw new Error("setup runs");
  };
  const project: Partial<RunProject> = { id: "p", setupCommand: "make", env: {}, egress: [] };
  const failure = await prepareCheckout(
    {
      metrics: { preparedCheckout: () => undefined },
      limits: { timeoutMs: 1 },
      sandboxes: { isolation: { isolated: true } },
      logger: { warn: (text: string) => warnings.push(text) },
    } as unknown as Args[0],
    { append: async () => undefined } as unknown as Args[1],
    { preparation, start } as unknown as Args[2],
    {
      ...{ run: { userId: "u", sessionId: "s", targetBranch: "main", attempt }, project },
      ...{ gateway: {}, signal: new AbortController().signal },
    } as unknown as Args[3],
  ).then(
    () => undefined,
    (error: Error) => error,
  );
  return { failure, warnings };
};

test("a key that cannot be read or made is no reason to fail: the command runs", async () => {
  const keyOf = () => {
    throw new Error("ENOSPC: no space left on device");
  };
  const { failure, warnings } = await prepared({ keyOf });
  expect(failure?.message).toBe("setup runs");
  expect(warnings).toHaveLength(1);
});

test("what cannot be restored costs one attempt, also when it cannot be removed", async () => {
  const { failure } = await prepared({ find: async () => found, restore: failing, remove: failing });
  expect(failure).toMatchObject({ name: "AgentKilled", message: expect.stringContaining("it runs again") });
});

test("the last attempt relies on nothing that was kept", async () => {
  const { failure } = await prepared({ find: async () => found, restore: failing }, MAX_ATTEMPTS);
  expect(failure?.message).toBe("setup runs");
});
