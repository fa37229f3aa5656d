import { afterAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../harness/backend.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { openPage, serveLocal } from "../web-sessions/fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const ADDRESS = "http://127.0.0.1:8123";
const made: string[] = [];
let dataDir = "";
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "pb-open-"));
  made.push(dataDir);
});
afterAll(() => Promise.all(made.map((one) => rm(one, { recursive: true, force: true }))));

const open = (
  args: readonly string[],
  env: Record<string, string> = {},
  after: () => Promise<unknown> = async () => undefined,
) => runProgram(["open", ...args], { cwd: dataDir, env: { DATA_DIR: dataDir, ...env }, after });

describeEachDatabase("prompt-backend open", (database) => {
  test("prints nothing but a link, another one each time; each signs one browser in, while the service runs", async () => {
    await using server = await serveLocal(database());
    dataDir = server.dataDir;
    const codes: string[] = [];
    for (const _ of [1, 2]) {
      const { code, stdout, stderr } = await open(["--url", `${server.url}/s/x?y#z`]);
      expect(code).toBe(0);
      const [, signInCode = ""] = stdout.split(`${server.url}/#code=`);
      expect(stdout).toBe(`${server.url}/#code=${signInCode}`);
      expect(stderr).toContain("within 10 minutes");
      codes.push(signInCode);
    }
    expect(new Set(codes).size).toBe(2);
    for (const code of codes) {
      const page = openPage(server.url);
      expect((await page.signIn(code)).status).toBe(200);
      expect((await page.session()).user.id).toBe("me");
      expect((await openPage(server.url).signIn(code)).body.code).toBe("sign_in_code_invalid");
    }
    const acts = join(dataDir, "acts");
    const notes = await Promise.all((await readdir(acts)).map((name) => readFile(join(acts, name), "utf8")));
    expect(notes.map((note) => JSON.parse(note))).toMatchObject(
      codes.map(() => ({ action: "token.issue", target: "user:me", detail: { link: server.url } })),
    );
    for (const code of codes) expect(notes.join()).not.toContain(code);
  });
});

test("attack: whoever lists the arguments of programs, or has left a link there, learns no code", async () => {
  const bin = join(dataDir, "bin");
  const opener = join(bin, process.platform === "darwin" ? "open" : "xdg-open");
  await mkdir(bin);
  await Bun.write(
    opener,
    '#!/bin/sh\nprintf %s "$*" > "$HOME/draft" && mv "$HOME/draft" "$HOME/arguments"\n',
  );
  await chmod(opener, 0o755);
  const [page, victim] = [join(dataDir, "open.html"), join(dataDir, "victim")];
  await Bun.write(victim, "kept");
  await symlink(victim, page);
  const env = { PATH: `${bin}:${process.env["PATH"]}`, DISPLAY: ":0" };
  const seen = join(dataDir, "arguments");
  const { stdout } = await open(["--url", ADDRESS], env, () =>
    until(() => existsSync(seen), { what: "the browser to be opened" }),
  );
  expect(stdout).toStartWith(`${ADDRESS}/#code=`);
  expect(await readFile(seen, "utf8")).toBe(page);
  expect(await readFile(page, "utf8")).toContain(`url=${stdout}"`);
  expect((await stat(page)).mode & 0o777).toBe(0o600);
  expect(await readFile(victim, "utf8")).toBe("kept");
});

test("the address is that of HOST and PORT; where nobody signs in by link, it is the console's alone", async () => {
  const linkOf = async (env: Record<string, string>) => (await open([], { PORT: "8123", ...env })).stdout;
  const oidc = { KEYCLOAK_ISSUER: "https://sso.example.com", PUBLIC_URL: "https://agents.example.com" };
  expect(await linkOf({ AUTH_MODE: "none", HOST: "::" })).toBe("http://localhost:8123/");
  expect(await linkOf(oidc)).toBe("https://agents.example.com/");
  expect(await readdir(dataDir)).not.toContain("acts");
  expect(await linkOf({ AUTH_MODE: "local" })).toStartWith(`${ADDRESS}/#code=`);
  expect(await readdir(join(dataDir, "acts"))).toHaveLength(1);
});

test.each([
  [[], { PORT: "0" }, "--url"],
  [["--url", "127.0.0.1:8000"], {}, "--url must be an address"],
  [["--url", "javascript:alert(1)"], {}, "--url must be an address"],
  [["--url"], {}, "--url needs a value"],
  [["--user", "ann"], {}, 'open does not take "--user"'],
  [["8000"], {}, 'open does not take "8000"'],
] as const)("%p with %p is refused: exit code 2, one line, no link", async (args, env, message) => {
  const { code, stdout, stderr } = await open(args, env);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(message);
  expect(stderr.split("\n")).toHaveLength(1);
  expect(await readdir(dataDir)).not.toContain("acts");
});
