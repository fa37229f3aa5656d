import { mkdirSync, mkdtempSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join, resolve } from "node:path";
import { freePort } from "../test/harness/machine.ts";
import { startProcess } from "../test/harness/process.ts";
import { removeFolder } from "../test/harness/remove-folder.ts";
import { START_TIMEOUT_MS } from "../test/harness/timeouts.ts";
import { CANNOT_RUN, run } from "./program.ts";

/**
 * `npm run generators`: generates clients from the OpenAPI document with the generators that people use, compiles them, and
 * has each of them create, list and read against this service. Needs Python 3.11, Java 17 and Go 1.26 or later; the
 * generators come from their registries, in exact versions, into .cache/generators. Exit code 75: one could not run, and
 * all others went well.
 */
const ROOT = resolve(import.meta.dir, "..");
const CLIENTS = join(ROOT, "test/generators");
const TOOLS = join(ROOT, ".cache/generators");
const OAPI_CODEGEN = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2";

/** A step that could not be prepared: a program or a package is not to be had. */
class NotRun extends Error {}

interface Place {
  /** The OpenAPI document. */
  document: string;
  /** An empty folder of this generator. */
  folder: string;
  url: string;
}

function need(...programs: string[]): void {
  for (const one of programs) if (!Bun.which(one)) throw new NotRun(`${one} is not installed`);
}

/** Installs a tool. Without its registry there is none. */
async function install(argv: string[], env: Record<string, string> = {}): Promise<void> {
  try {
    await run(argv, { cwd: TOOLS, env });
  } catch (error) {
    throw new NotRun(`${error instanceof Error ? error.message : error}`);
  }
}

const VENV = join(TOOLS, "venv");
const venv = (program: string) => join(VENV, "bin", program);
/** openapi-python-client formats with ruff, which it looks for on the PATH. */
const PYTHON_ENV = { PATH: `${VENV}/bin:${process.env["PATH"]}` };

async function installPython(): Promise<void> {
  need("python3");
  await install(["python3", "-m", "venv", VENV]);
  const requirements = join(CLIENTS, "python/requirements.txt");
  await install([venv("pip"), "install", "--quiet", "--disable-pip-version-check", "-r", requirements]);
}

async function pythonClient({ document, folder, url }: Place): Promise<void> {
  await installPython();
  const generate = ["generate", "--path", document, "--meta", "none", "--output-path", "pb_client"];
  await run([venv("openapi-python-client"), ...generate, "--fail-on-warning"], {
    cwd: folder,
    env: PYTHON_ENV,
  });
  await runPython("openapi_python_client.py", "pb_client", { folder, url });
}

async function openapiGenerator(generator: string, options: string[], { document, folder }: Place) {
  await installPython();
  need("java");
  const argv = ["generate", "--generator-name", generator, "--input-spec", document, "--output", folder];
  await run([venv("openapi-generator-cli"), ...argv, ...options], { cwd: TOOLS, env: PYTHON_ENV });
}

async function openapiGeneratorPython(place: Place): Promise<void> {
  await openapiGenerator("python", ["--package-name", "pb_openapi"], place);
  await runPython("openapi_generator.py", "pb_openapi", place);
}

/** Imports every module, since few are needed by the calls. */
async function runPython(program: string, name: string, { folder, url }: Pick<Place, "folder" | "url">) {
  const env = { ...PYTHON_ENV, PYTHONPATH: folder };
  const importAll = `import importlib, pkgutil, ${name}
for one in pkgutil.walk_packages(${name}.__path__, "${name}."): importlib.import_module(one.name)`;
  await run([venv("python"), "-c", importAll], { cwd: folder, env });
  await run([venv("python"), join(CLIENTS, "python", program), url], { cwd: folder, env });
}

async function typescriptFetch(place: Place): Promise<void> {
  const { folder, url } = place;
  await openapiGenerator("typescript-fetch", [], { ...place, folder: join(folder, "pb") });
  await cp(join(CLIENTS, "typescript"), folder, { recursive: true });
  await run([join(ROOT, "node_modules/.bin/tsc"), "--project", "tsconfig.json"], { cwd: folder });
  await run([process.execPath, "main.ts", url], { cwd: folder });
}

async function oapiCodegen({ document, folder, url }: Place): Promise<void> {
  need("go");
  // CGO: the client needs no C compiler, which may be missing.
  const env = { GOBIN: TOOLS, GOFLAGS: "-modcacherw", CGO_ENABLED: "0" };
  await install(["go", "install", OAPI_CODEGEN], env);
  await cp(join(CLIENTS, "go"), folder, { recursive: true });
  mkdirSync(join(folder, "pb"));
  const generate = ["-generate", "types,client", "-package", "pb", "-o", "pb/pb.go", document];
  await run([join(TOOLS, "oapi-codegen"), ...generate], { cwd: folder });
  await run(["go", "vet", "./..."], { cwd: folder, env });
  await run(["go", "run", ".", url], { cwd: folder, env });
}

const GENERATORS: Record<string, (place: Place) => Promise<void>> = {
  "openapi-python-client": pythonClient,
  "oapi-codegen": oapiCodegen,
  "typescript-fetch": typescriptFetch,
  "openapi-generator python": openapiGeneratorPython,
};

async function main(): Promise<number> {
  mkdirSync(TOOLS, { recursive: true });
  // Below node_modules, whose types the TypeScript client is compiled with.
  const scratch = mkdtempSync(join(TOOLS, "run-"));
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => removeFolder(scratch));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = startProcess({
    // Without tasks: nothing runs the prompts, whose repository does not exist.
    argv: [process.execPath, "src/main.ts", "--server"],
    cwd: ROOT,
    env: { HOME: scratch, DATA_DIR: join(scratch, "data"), PORT: String(port), AUTH_MODE: "none" },
  });
  cleanUp.defer(() => service[Symbol.asyncDispose]());
  await service.waitForLine(/listens on /, { timeoutMs: START_TIMEOUT_MS });
  const document = join(scratch, "openapi.json");
  await Bun.write(document, await (await fetch(`${url}/openapi.json`)).text());

  const outcomes: number[] = [];
  for (const [name, generate] of Object.entries(GENERATORS)) {
    const folder = mkdtempSync(join(scratch, "client-"));
    try {
      await generate({ document, folder, url });
      process.stdout.write(`ok: ${name}: generated, compiled; creates, lists and reads\n`);
      outcomes.push(0);
    } catch (error) {
      const what = error instanceof NotRun ? "NOT RUN" : "FAILED";
      process.stdout.write(`${what}: ${name}: ${error instanceof Error ? error.message : error}\n`);
      outcomes.push(error instanceof NotRun ? CANNOT_RUN : 1);
    }
  }
  return outcomes.includes(1) ? 1 : Math.max(...outcomes);
}

// The service is a group of its own: leaving by process.exit ends it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));
process.exit(await main());
