import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createDeployment, runProgram, startBackend } from "../harness/backend.ts";
import { compiledBinary } from "../harness/binary.ts";
import { freePort } from "../harness/machine.ts";
import { startProcess } from "../harness/process.ts";
import { makeRepository } from "../harness/repository.ts";
import { type InstalledSdk, installedSdk, SDK } from "./installed-sdk.ts";

const LONG = 240_000;

/** As a user has it: packed, and installed from the package into a project that is empty otherwise. */
describe("the SDK from an empty npm project", () => {
  let sdk: InstalledSdk;
  let project: string;
  beforeAll(async () => {
    sdk = await installedSdk();
    project = sdk.project;
    await Bun.$`cp ${join(SDK, "example.mjs")} ${project}`;
  }, LONG);
  afterAll(() => sdk?.remove());

  test.each([["node"], [process.execPath]])(
    "%s: create, stream over a server that is killed, cancel, list",
    async (runtime) => {
      await using deployment = await createDeployment("embedded");
      const repository = await makeRepository();
      const port = String(await freePort());
      // Events, not text: lines of text that come together become one event.
      const line = `'{"type":"system","subtype":"line"}'`;
      const agent = ["sh", "-c", `for i in $(seq 60); do echo ${line}; sleep 0.05; done; cat > haiku.txt`];
      const env = { AUTH_MODE: "local", PORT: port, AGENT: "command", AGENT_COMMAND: JSON.stringify(agent) };
      const binary = await compiledBinary();
      const first = await startBackend(deployment, { binary, env });
      const { stdout } = await runProgram(["token", "--user", "ada"], {
        env: { ...deployment.env, ...env },
        cwd: deployment.folder,
      });
      await using example = startProcess({
        argv: [runtime, "example.mjs"],
        cwd: project,
        env: { BASE_URL: first.url, TOKEN: stdout.trim().split("\n").at(-1), REPO: repository.path },
      });
      await example.waitForLine(/^message 10$/, { timeoutMs: 60_000 });
      first.process.kill("SIGKILL");
      await first.process.exit;
      await using _second = await startBackend(deployment, { binary, env });
      const done = await example.waitForLine(/^listed 1 session\(s\), (\d+) message\(s\) read$/, {
        timeoutMs: 90_000,
      });
      expect(await example.exit).toEqual({ code: 0, signal: null });
      expect(example.stdout).toContain("reconnecting");
      const numbers = example.stdout.flatMap((line) => /^message (\d+)$/.exec(line)?.[1] ?? []).map(Number);
      // No gap, nothing twice, in order.
      expect(numbers).toEqual(Array.from({ length: Number(done[1]) }, (_, index) => index + 1));
      expect(numbers.length).toBeGreaterThanOrEqual(60);
      await repository.remove();
    },
    LONG,
  );

  test(
    "CommonJS, types and the description are in the package",
    async () => {
      const script = `const { PromptBackend, NotFoundError } = require("prompt-backend-client");
      console.log(typeof PromptBackend, NotFoundError.name, require("prompt-backend-client/openapi.json").openapi)`;
      expect((await Bun.$`node -e ${script}`.cwd(project).text()).trim()).toBe(
        "function NotFoundError 3.1.0",
      );
      const code = `import { PromptBackend } from "prompt-backend-client";
      const { sessions, api } = new PromptBackend({ baseUrl: "http://127.0.0.1:8000", token: "" });
      export async function ids(): Promise<string[]> {
        const { data } = await api.handlersSessionsList();
        return data.sessions.map((one) => one.id);
      }
      export async function fork(id: string, prompt_id: string): Promise<string> {
        const pushed: string = (await sessions.push(id)).prompt_id;
        return (await sessions.fork(id, { prompt_id: pushed || prompt_id })).id;
      }
      // @ts-expect-error: no such operation
      api.handlersNothing();`;
      await Bun.write(join(project, "types.mts"), code);
      const tsc = join(SDK, "node_modules/typescript/bin/tsc");
      const checked = await Bun.$`node ${tsc} --noEmit --strict --module NodeNext --target ES2022 types.mts`
        .cwd(project)
        .nothrow()
        .quiet();
      expect(checked.stdout.toString()).toBe("");
    },
    LONG,
  );
});
