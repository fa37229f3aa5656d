import { expect, test } from "bun:test";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { useDoctor } from "./use-doctor.ts";

const { examined } = useDoctor();
const [OLD, NEW] = [1, 2].map((byte) => Buffer.alloc(32, byte).toString("base64"));
const COUNT = 50;

test(
  "tells how many secrets a lost key has sealed, and when a rotation is done, also one that was killed",
  async () => {
    await using deployment = await createDeployment("embedded");
    const withKeys = (...keys: (string | undefined)[]) => ({
      ...deployment.env,
      SECRETS_KEY: keys.join(","),
    });
    const serving = async (keys: (string | undefined)[], signal: NodeJS.Signals, body?: object) => {
      await using backend = await startBackend(deployment, { env: withKeys(...keys) });
      if (body) expect(await backend.request("POST", "/projects", body)).toMatchObject({ status: 200 });
      backend.process.kill(signal);
      await backend.process.exit;
    };
    const names = Array.from({ length: COUNT }, (_, at) => [`S${at}`, `the-value-of-${at}`]);
    await serving([OLD], "SIGTERM", { repo: "owner/name", secrets: Object.fromEntries(names) });

    const lost = await examined(withKeys(NEW));
    expect(lost.code).toBe(1);
    expect(lost.of("project secrets")).toContain(
      `fail: ${COUNT} of ${COUNT} are sealed with keys that this machine does not have`,
    );
    expect(lost.of("project secrets")).not.toContain("the-value-of");
    expect((await examined(withKeys(OLD))).of("project secrets")).toBe(
      `ok: ${COUNT}, and one key opens all of them`,
    );
    expect((await examined(withKeys(NEW, OLD))).of("project secrets")).toContain(
      "warn: 50 can be opened, but not all are sealed with the newest key yet",
    );

    // Whenever it is killed, each is sealed by one of both, and the next start does the rest.
    await serving([NEW, OLD], "SIGKILL");
    expect((await examined(withKeys(NEW, OLD))).of("project secrets")).toMatch(/^(ok|warn): 50/);
    const done = `ok: ${COUNT}, and one key opens all of them`;
    if ((await examined(withKeys(NEW))).of("project secrets") !== done) {
      await using backend = await startBackend(deployment, { env: withKeys(NEW, OLD) });
      await backend.process.waitForLine(/secrets_sealed_again/, { timeoutMs: SLOW_TEST_TIMEOUT_MS });
      backend.process.kill("SIGTERM");
      await backend.process.exit;
    }
    expect((await examined(withKeys(NEW))).of("project secrets")).toBe(done);
  },
  SLOW_TEST_TIMEOUT_MS * 2,
);
