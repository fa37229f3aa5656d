import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import {
  type Backend,
  createDeployment,
  type Deployment,
  runProgram,
  startBackend,
} from "../harness/backend.ts";
import { openBrowser } from "../harness/browser.ts";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { startProcess } from "../harness/process.ts";
import { makeRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { installedSdk, SDK } from "./installed-sdk.ts";

// Brings Deno, too.
const sdk = await installedSdk();
const NAME = "prompt-backend-client";
const SEEN = { listed: 1, retrieved: true, event: "string", error: 404 };
const DENO = [
  ...[join(SDK, "node_modules/.bin/deno"), "run", "--no-prompt", "--no-remote", "--node-modules-dir=manual"],
  // No other files, no programs, no other hosts.
  ...["--allow-read=.", "--allow-env", "--allow-net=127.0.0.1"],
] as const;
const RUNTIMES: [string, readonly string[]][] = [
  [`Node.js ${Bun.spawnSync(["node", "--version"]).stdout.toString().trim()}`, ["node"]],
  [`Bun ${Bun.version}`, [process.execPath]],
];
const { success, stdout, stderr } = Bun.spawnSync([DENO[0], "--version"]);
if (success) RUNTIMES.push([`Deno ${stdout.toString().split(" ")[1]}`, DENO]);
else
  unavailable({ name: "the packed SDK in Deno", reason: `it does not start: ${stderr.toString().trim()}` });

/** The package that is published, in everything that it is for, with a running service. */
describe("the packed SDK walks through the service", () => {
  let deployment: Deployment;
  let backend: Backend;
  let repository: Awaited<ReturnType<typeof makeRepository>>;
  let target: { baseUrl: string; token: string; repo: string };

  beforeAll(async () => {
    await cp(join(import.meta.dir, "walk.mjs"), join(sdk.project, "walk.mjs"));
    const end = `walk(sdk, JSON.parse(process.env.TARGET)).then((seen) => console.log("seen", JSON.stringify(seen)));\n`;
    await Bun.write(
      join(sdk.project, "main.mjs"),
      `import process from "node:process";\nimport * as sdk from "${NAME}";\nimport { walk } from "./walk.mjs";\n${end}`,
    );
    await Bun.write(
      join(sdk.project, "main.cjs"),
      `const sdk = require("${NAME}");\nimport("./walk.mjs").then(({ walk }) => ${end.replace(/;\n$/, "")});\n`,
    );
    deployment = await createDeployment("embedded");
    repository = await makeRepository();
    const env = { AUTH_MODE: "local", AGENT: "demo" };
    backend = await startBackend(deployment, { env });
    const { stdout } = await runProgram(["token", "--user", "ada"], {
      env: { ...deployment.env, ...env },
      cwd: deployment.folder,
    });
    target = { baseUrl: backend.url, token: stdout.trim().split("\n").at(-1) ?? "", repo: repository.path };
  }, 240_000);
  afterAll(async () => {
    await backend?.[Symbol.asyncDispose]();
    await deployment?.[Symbol.asyncDispose]();
    await repository?.remove();
    await sdk.remove();
  }, SLOW_TEST_TIMEOUT_MS);

  describe.each(RUNTIMES)("%s", (_name, argv) => {
    test.each(["main.mjs", "main.cjs"])(
      "%s",
      async (file) => {
        await using child = startProcess({
          argv: [argv[0] ?? "", ...argv.slice(1), file],
          cwd: sdk.project,
          env: {
            TARGET: JSON.stringify(target),
            DENO_NO_UPDATE_CHECK: "1",
            DENO_DIR: join(sdk.project, ".deno"),
          },
        });
        const [, seen = ""] = await child.waitForLine(/^seen (.*)$/, { timeoutMs: 30_000 });
        expect(JSON.parse(seen)).toEqual(SEEN);
        expect(await child.exit).toEqual({ code: 0, signal: null });
      },
      SLOW_TEST_TIMEOUT_MS,
    );
  });

  const inBrowser = async (script: string, files: (path: string) => Blob | string | undefined) => {
    const html = `<!doctype html><title>-</title>${script}`;
    using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/") return new Response(html, { headers: { "content-type": "text/html" } });
        const file = files(pathname);
        return file
          ? new Response(file, { headers: { "content-type": "text/javascript" } })
          : new Response("", { status: 404 });
      },
    });
    const browser = await openBrowser();
    try {
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      await page.goto(`http://127.0.0.1:${server.port}/`);
      await page.waitForFunction("globalThis.sdk").catch((error) => {
        throw new Error(`${problems.join("\n")}\n${error}`);
      });
      return await page.evaluate(`globalThis.walk(globalThis.sdk, ${JSON.stringify(target)})`);
    } finally {
      await browser.close();
    }
  };
  const SET = `import * as sdk from "${NAME}";\nimport { walk } from "./walk.mjs";\nObject.assign(globalThis, { sdk, walk });\n`;

  if (!findChromium())
    unavailable({
      name: "the packed SDK in a browser",
      reason: NO_CHROMIUM,
    });
  else
    describe("a browser", () => {
      test(
        "its modules as they are",
        async () => {
          const map = JSON.stringify({ imports: { [NAME]: "/sdk/index.js" } });
          const seen = await inBrowser(
            `<script type="importmap">${map}</script><script type="module" src="/main.js"></script>`,
            (path) => {
              if (path === "/main.js") return new Blob([SET]);
              if (path === "/walk.mjs") return Bun.file(join(sdk.project, "walk.mjs"));
              const [, module] = /^\/sdk\/([\w./-]+\.js)$/.exec(path) ?? [];
              return module && Bun.file(join(sdk.project, "node_modules", NAME, "dist/esm", module));
            },
          );
          expect(seen).toEqual(SEEN);
        },
        SLOW_TEST_TIMEOUT_MS,
      );

      test(
        "a bundle",
        async () => {
          await Bun.write(join(sdk.project, "browser.mjs"), SET);
          const { outputs } = await Bun.build({
            entrypoints: [join(sdk.project, "browser.mjs")],
            target: "browser",
            minify: true,
          });
          const code = (await outputs[0]?.text()) ?? "";
          const seen = await inBrowser(
            `<script type="module" src="/main.js"></script>`,
            () => new Blob([code]),
          );
          expect(seen).toEqual(SEEN);
        },
        SLOW_TEST_TIMEOUT_MS,
      );
    });
});
