import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { unavailable } from "../../harness/services.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { LIMIT_MS, linesOf, useSandboxes, whyNotIsolated } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const reason = await whyNotIsolated();
if (reason) unavailable({ name: "system calls in a sandbox", reason });
else
  describe("the kernel, from inside a sandbox", () => {
    const its = useSandboxes();

    test("refuses system calls that reach beyond it", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const script = join(import.meta.dir, "real-syscalls.ts");
      const argv = [process.execPath, script] as const;
      const child = sandbox.start({ argv, env: {}, stdin: "", readable: [...argv] }, LIMIT_MS);
      const [line = ""] = await linesOf(child);
      const { stderr } = await child.exit;
      if (!line) throw new Error(stderr);
      const { clone3, "socket unix": unix, "socket route": route, ...refused } = JSON.parse(line);
      expect({ clone3, unix, route }).toEqual({ clone3: "38", unix: "done", route: "done" });
      for (const [name, result] of Object.entries(refused)) expect([name, result]).toEqual([name, "1"]);
    });

    // A clean filter wrote to descriptor 3, which it had inherited, until the disk was full.
    test("no file that the service has open, or that its parent left open, is open inside", async () => {
      const script = 'exec 9</etc/hostname; exec "$@"';
      const service = [process.execPath, join(import.meta.dir, "list-fds.ts")];
      // dash knows one digit.
      const outer = `exec 251</etc/hostname; exec sh -c '${script}' sh "$@"`;
      const shell = Bun.which("bash") ? ["bash", "-c", outer, "bash"] : ["sh", "-c", script, "sh"];
      const child = Bun.spawn([...shell, ...service], { stdio: ["ignore", "pipe", "inherit"] });
      expect((await child.stdout.text()).trim()).toBe("0 1 2 3");
    });
  });
