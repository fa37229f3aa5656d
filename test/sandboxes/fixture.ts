import { afterAll, beforeAll } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, readConfig } from "../../src/config/config.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openSandboxes } from "../../src/sandboxes/providers.ts";
import type {
  CheckoutRequest,
  Sandbox,
  SandboxProcess,
  SandboxProvider,
} from "../../src/sandboxes/sandbox.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";

export interface SandboxFixture {
  dataDir: string;
  /** A repository below LOCAL_REPOSITORIES. */
  repository: TestRepository;
  provider: SandboxProvider;
  /** A request of a new session. */
  request(repo: string, more?: Partial<CheckoutRequest>): CheckoutRequest;
  open(request: CheckoutRequest): Promise<Sandbox>;
  /** Runs a shell script in the sandbox until it has ended. @returns its stdout and how it ended. */
  run(
    sandbox: Sandbox,
    script: string,
    env?: Record<string, string>,
  ): Promise<{ out: string; code: number | null; stderr: string }>;
  remove(): Promise<void>;
}

/** Programs of tests are killed after a minute, whatever happens. */
export const LIMIT_MS = 60_000;

/** What a session has pushed, as the database would keep it. */
export function pushRecord(
  commit: string | null = null,
): CheckoutRequest["pushes"] & { commit: string | null } {
  const pushes = {
    commit,
    async record(next: string, _target: string, replaces?: string) {
      pushes.commit = replaces ?? next;
    },
    async settle(commit: string, failure?: string) {
      if (failure === undefined) pushes.commit = commit;
    },
    async disown() {
      pushes.commit = null;
    },
    first: { record: async () => undefined, settle: async () => undefined },
  };
  return pushes;
}

/** What a session could not push, as the database would keep it. */
export function unpushedRecord(): CheckoutRequest["unpushed"] {
  let kept: { commit: string; bundle: Uint8Array } | undefined;
  return {
    get commit() {
      return kept?.commit ?? null;
    },
    host: null,
    async read(file) {
      if (kept) await Bun.write(file, kept.bundle);
      return kept !== undefined;
    },
    async keep(commit, file) {
      kept = { commit, bundle: await Bun.file(file).bytes() };
      return true;
    },
  };
}

/** Everything that a program printed, once it has ended. */
export async function linesOf(process: SandboxProcess): Promise<string[]> {
  return (await Array.fromAsync(process.lines(0))).map(({ line }) => line);
}

export const never = new AbortController().signal;

/**
 * Opens a provider on a DATA_DIR of its own. @param options.isolated false: as on a machine without bubblewrap.
 * @param options.cgroups false: as on a machine without control groups.
 */
export async function openSandboxFixture(
  options: { isolated?: boolean; cgroups?: boolean; env?: Record<string, string> } = {},
): Promise<SandboxFixture> {
  const dataDir = await mkdtemp(join(tmpdir(), "pb-sandboxes-"));
  let path = process.env["PATH"] ?? "/usr/bin:/bin";
  if (options.isolated === false) {
    // Every program except bubblewrap.
    path = join(dataDir, "bin");
    await Bun.$`mkdir -p ${path} && ln -s /usr/bin/* ${path}/ && rm -f ${path}/bwrap`.quiet();
  }
  const config: Config = readConfig({
    DATA_DIR: dataDir,
    PATH: path,
    AUTH_MODE: "local",
    LOCAL_REPOSITORIES: tmpdir(),
    ALLOW_UNISOLATED_AGENTS: "1",
    ...options.env,
  });
  const provider = await openSandboxes({
    config,
    logger: createLogger({ level: "silent" }),
    ...(options.cgroups === false && { cgroups: async () => undefined }),
  });
  const repository = await makeRepository();
  return {
    dataDir,
    repository,
    provider,
    request: (repo, more = {}) => ({
      sessionId: crypto.randomUUID(),
      repo,
      targetBranch: "main",
      branch: "prompt/one",
      startCommit: null,
      began: null,
      pushes: pushRecord(),
      unpushed: unpushedRecord(),
      ...more,
    }),
    open: (request) => provider.open(provider.plan(), request, never, async () => undefined),
    async run(sandbox, script, env = {}) {
      const child = sandbox.start({ argv: ["sh", "-c", script], env, stdin: "", readable: [] }, LIMIT_MS);
      const lines = await linesOf(child);
      const { code, stderr } = await child.exit;
      return { out: lines.join("\n"), code, stderr };
    },
    async remove() {
      await provider.sweep(async () => new Set());
      await Promise.all([repository.remove(), removeFolder(dataDir)]);
    },
  };
}

/** Why agents cannot be isolated on this machine; undefined if they can. */
export async function whyNotIsolated(): Promise<string | undefined> {
  const fixture = await openSandboxFixture();
  try {
    return fixture.provider.isolation.isolated ? undefined : fixture.provider.isolation.detail;
  } finally {
    await fixture.remove();
  }
}

/** The arguments of every process of this machine. */
export function processArguments(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(join("/proc", pid, "cmdline"), "utf8");
      } catch {
        return ""; // It has ended.
      }
    });
}

/** Opens a fixture for the tests of the enclosing describe, and removes it afterwards. Read it inside the tests. */
export function useSandboxes(): { readonly fixture: SandboxFixture } {
  let fixture: SandboxFixture;
  beforeAll(async () => {
    fixture = await openSandboxFixture();
  });
  afterAll(() => fixture.remove());
  return {
    get fixture() {
      return fixture;
    },
  };
}
