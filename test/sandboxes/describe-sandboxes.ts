import { afterAll, beforeAll, describe } from "bun:test";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { openSandboxFixture, type SandboxFixture, whyNotIsolated } from "./fixture.ts";

export interface SandboxSetup {
  fixture: SandboxFixture;
  repo: TestRepository;
  isolated: boolean;
}

/**
 * Defines the same tests twice: under bubblewrap, if it works on this machine, and without isolation.
 * @param define gets a function to call in a test, which returns the set-up of its block.
 */
export async function describeSandboxes(define: (setup: () => SandboxSetup) => void): Promise<void> {
  const reason = await whyNotIsolated();
  if (reason) unavailable({ name: "sandboxes under bubblewrap", reason });
  for (const isolated of reason ? [false] : [true, false])
    describe(isolated ? "under bubblewrap" : "without isolation", () => {
      let setup: SandboxSetup;
      beforeAll(async () => {
        setup = { isolated, fixture: await openSandboxFixture({ isolated }), repo: await makeRepository() };
      });
      afterAll(async () => {
        await setup.fixture.remove();
        await setup.repo.remove();
      });
      define(() => setup);
    });
}
