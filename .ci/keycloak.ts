import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { blocksOf, shell } from "../test/docs/guide.ts";
import { runProgram } from "../test/harness/backend.ts";
import { findChromium, freePort, installPackages } from "../test/harness/machine.ts";
import { startProcess } from "../test/harness/process.ts";
import { removeFolder } from "../test/harness/remove-folder.ts";
import { START_TIMEOUT_MS } from "../test/harness/timeouts.ts";
import { signInToConsole } from "../test/keycloak/console.ts";
import { expect } from "../test/keycloak/expect.ts";
import { download, type Keycloak, startKeycloak, versionOfCompose } from "../test/keycloak/server.ts";
import { signInByBrowser } from "../test/keycloak/sign-in.ts";
import { checkOrigins, checkTokens } from "../test/keycloak/tokens.ts";
import { openWebUi } from "../test/keycloak/web-ui.ts";
import { CANNOT_RUN } from "./program.ts";

/**
 * `npm run keycloak [-- VERSION]`: signs in with a real Keycloak, the realm of deploy/keycloak and the published web UI's
 * flow, and runs what the guides say about it. The default is the version of docker-compose.yml. Needs Java, Maven and
 * Chromium, which it installs as root on Debian. Exit code 75: it could not run, and says why.
 */
const ROOT = resolve(import.meta.dir, "..");
/** Where the realm expects the console. */
const CONSOLE_PORT = 8000;
const PROGRAMS = [
  { name: "maven", here: () => Bun.which("mvn") !== null },
  { name: "default-jre-headless", here: () => Bun.which("java") !== null },
  { name: "chromium", here: () => findChromium() !== undefined },
];

/** The guide's shell blocks under a heading, with the ports of this run. */
async function guide(path: string, heading: string, keycloak: Keycloak, url: string): Promise<string[]> {
  const blocks = (await blocksOf(path)).filter((one) => one.heading === heading);
  if (blocks.length === 0) throw new Error(`${path} has no commands under "${heading}"`);
  return blocks.map(({ commands }) =>
    commands.replaceAll("http://localhost:8080", keycloak.url).replaceAll("http://localhost:8000", url),
  );
}

/** What `doctor` says of an issuer: of this one, and of a realm that does not exist. */
async function checkDoctor(keycloak: Keycloak, scratch: string): Promise<void> {
  const said = async (issuer: string) => {
    const env = { DATA_DIR: join(scratch, "doctor"), PORT: "0", KEYCLOAK_ISSUER: issuer };
    const { stdout } = await runProgram(["doctor", "--json"], { env, cwd: scratch });
    const { checks } = JSON.parse(stdout) as { checks: { check: string; status: string; detail: string }[] };
    const { status, detail } = checks.find(({ check }) => check === "identity") ?? {};
    return [status, detail];
  };
  const { issuer, url } = keycloak;
  expect("doctor finds the issuer", await said(issuer), ["ok", `${issuer} publishes its keys`]);
  const typo = `${url}/realms/typo`;
  expect("doctor says what is wrong with a realm that does not exist", await said(typo), [
    "fail",
    `the keys of ${typo} cannot be fetched: ${typo}/.well-known/openid-configuration answered 404`,
  ]);
}

/** The guides' calls, as written; each must succeed. */
async function followGuides(options: {
  keycloak: Keycloak;
  url: string;
  scratch: string;
  tokenCommands: string;
  reference: string;
}): Promise<void> {
  const { keycloak, url, scratch, tokenCommands, reference } = options;
  const run = async (what: string, commands: string, env: Record<string, string>) => {
    const failing = commands.replaceAll(/curl -sS(?! --fail)/g, "curl -sS --fail-with-body");
    const { out, err, code } = await shell(failing, { cwd: scratch, env });
    expect(what, [code, code === 0 ? "" : `${out}\n${err}`], [0, ""]);
    return out;
  };
  const lines = Object.entries(keycloak.secrets).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(scratch, ".env"), lines.join(""));
  const { email } = JSON.parse(await run("docs/SETUP_LOCAL.md: a token of the test user", tokenCommands, {}));
  expect("it is the test user's", email, "test@localhost");
  const env = { ...keycloak.secrets, URL: url };
  const said = await run(
    "docs/QUICK_REFERENCE.md: every call to Keycloak and with its tokens",
    reference,
    env,
  );
  expect("the web UI's origin is among the answers", said.includes("http://localhost:3000"), true);
}

async function main(): Promise<number> {
  const version = process.argv[2] ?? (await versionOfCompose());
  const cannotRun = (reason: string) => {
    process.stdout.write(`NOT RUN: sign-in with Keycloak: ${reason}\n`);
    return CANNOT_RUN;
  };
  const reason = await installPackages(PROGRAMS.filter((one) => !one.here()).map(({ name }) => name));
  if (reason) return cannotRun(reason);
  const found = await download(version);
  if ("reason" in found) return cannotRun(found.reason);

  const scratch = mkdtempSync(join(tmpdir(), "prompt-backend-keycloak-"));
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => removeFolder(scratch));
  const keycloak = await startKeycloak({ folder: found.folder, scratch });
  cleanUp.defer(keycloak.stop);
  expect(
    `Keycloak ${version} imports the realm without a complaint`,
    keycloak.lines.filter((line) => /RepresentationToModel|ERROR/.test(line)),
    [],
  );

  const port = await freePort();
  const url = `http://localhost:${port}`;
  const [tokenCommands = "", variables = "", start = ""] = await guide(
    "docs/SETUP_LOCAL.md",
    "Sign in with Keycloak",
    keycloak,
    url,
  );
  const [reference = ""] = await guide("docs/QUICK_REFERENCE.md", "Keycloak", keycloak, url);
  const service = startProcess({
    argv: ["bash", "-c", start],
    cwd: ROOT,
    env: { HOME: scratch, DATA_DIR: join(scratch, "data"), PORT: String(port) },
  });
  cleanUp.defer(() => service[Symbol.asyncDispose]());
  await service.waitForLine(/listens on /, { timeoutMs: START_TIMEOUT_MS });
  const ui = await openWebUi(variablesOf(variables), { [CONSOLE_PORT]: port });
  cleanUp.defer(ui.close);

  await signInByBrowser(await ui.newPage(), ui, keycloak);
  await signInToConsole(await ui.newPage(), `http://localhost:${CONSOLE_PORT}`, keycloak);
  await checkOrigins(url);
  await checkTokens(keycloak, url);
  await followGuides({ keycloak, url, scratch, tokenCommands, reference });
  await checkDoctor(keycloak, scratch);
  return 0;
}

/** The lines NAME=VALUE of a guide. */
const variablesOf = (block: string): Record<string, string> =>
  Object.fromEntries(
    [...block.matchAll(/^(\w+)="?(.*?)"?$/gm)].map(([, name = "", value = ""]) => [name, value]),
  );

// Keycloak and the service are groups of their own: leaving by process.exit ends them.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));
process.exit(await main());
