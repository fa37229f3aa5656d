import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { createAttest } from "../../src/provenance/attest.ts";
import { sealEnvelope } from "../../src/provenance/envelope.ts";
import { openSigningKey } from "../../src/provenance/key.ts";
import { commitMessage } from "../../src/runs/commit-message.ts";
import { runProgram } from "../harness/backend.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const RUN = {
  sessionId: "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708",
  promptId: "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f709",
  userId: "alice",
  authorName: "Alice Example",
  authorEmail: "alice@example.com",
  epoch: 3,
  data: "Fix the login timeout",
  repo: "owner/name",
  targetBranch: "main",
  branch: "prompt/fix-\u001b[31m",
  startedAt: "2026-01-31T12:00:00.000Z",
} as ClaimedRun;
const AGENT = { name: "claude", version: "2.1.330", model: "claude-sonnet-4-5" };

let folder: string;
let repository: TestRepository;
let commits: string[];
const at = (name: string) => join(folder, name);
const keyOf = (name: string) => openSigningKey({ dataDir: at(name) });
const verify = (...args: string[]) =>
  runProgram(["verify", ...args], { cwd: folder, env: { DATA_DIR: at("data") } });
const attested = (ids: readonly string[], run = RUN) => {
  const attest = createAttest({ key: keyOf("data"), version: "1.2.3", url: "https://agents.example.com" });
  const work = { start: commits[2] ?? "", added: { count: 7, ids } };
  const usage = { turns: 3, input_tokens: 5210, output_tokens: 840, cost_usd: 0.031 };
  return attest(run, AGENT, { work, usage })?.envelope ?? "";
};
const write = async (name: string, text: string) => {
  await Bun.write(at(name), text);
  return name;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-verify-"));
  repository = await makeRepository();
  const { git } = repository;
  await git("commit", "--quiet", "--allow-empty", "--message=By the agent itself");
  await git("commit", "--quiet", "--allow-empty", `--message=${commitMessage(RUN, AGENT)}`);
  commits = (await git("log", "--format=%H")).trim().split("\n");
  await write("run.json", attested(commits.slice(0, 2)));
  await write("key.pem", keyOf("data").publicKey);
});
afterAll(async () => {
  await repository.remove();
  await rm(folder, { recursive: true, force: true });
});

test("prints what is stated, with the key that is given or with that of this deployment", async () => {
  const { code, stdout, stderr } = await runProgram(["verify", "run.json", "--key", "key.pem"], {
    cwd: folder,
    env: {},
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.split("\n")).toEqual([
    "The signature is valid.",
    "Signed by    https://agents.example.com (prompt-backend 1.2.3)",
    "Asked by     Alice Example <alice@example.com>, user alice",
    `Session      ${RUN.sessionId}`,
    expect.stringMatching(
      /^Prompt {7}019ab3c4-5d6e-7f80-91a2-b3c4d5e6f709, SHA-256 of its text [0-9a-f]{64}$/,
    ),
    // Control characters do not reach the terminal.
    "Repository   owner/name, branch prompt/fix-?[31m, for main",
    "Agent        claude 2.1.330, model claude-sonnet-4-5",
    expect.stringMatching(
      /^Run {10}019ab3c4-5d6e-7f80-91a2-b3c4d5e6f709\/3, from 2026-01-31T12:00:00.000Z to /,
    ),
    "Used         3 turns, 5210 tokens in, 840 tokens out, 0.0310 US dollars",
    `Commits      7, on top of ${commits[2]}`,
    `  ${commits[0]}`,
    `  ${commits[1]}`,
    "  … and 5 older ones, on which these build",
  ]);
  expect(await verify("run.json")).toEqual({ code: 0, stdout, stderr: "" });
});

test("looks for the commits in a repository, and says which of them have the trailers", async () => {
  const { code, stdout } = await verify("run.json", "--repository", repository.path);
  expect(code).toBe(0);
  expect(stdout).toContain(`  ${commits[0]}  with trailers\n`);
  expect(stdout).toContain(`  ${commits[1]}  made by the agent itself, no trailers\n`);
});

test.each([
  [
    "a commit that is not there",
    () => attested([String(commits[0]), "a".repeat(40)]),
    /names the commit a{40}, which .* does not have\.$/,
  ],
  [
    "a commit of another run",
    () => attested(commits.slice(0, 1), { ...RUN, promptId: "another" }),
    /whose trailer Prompt: 019ab3c4-.* is of another run\.$/,
  ],
])("%s in a repository fails", async (_, make, reason) => {
  const file = await write("other.json", make());
  expect((await verify(file)).code).toBe(0);
  const { code, stdout, stderr } = await verify(file, "--repository", repository.path);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr.trimEnd()).toMatch(reason);
});

test("a folder without a repository fails, with git's reason", async () => {
  const { code, stderr } = await verify("run.json", "--repository", folder);
  expect(code).toBe(1);
  expect(stderr).toMatch(/run\.json cannot be compared with .*: fatal: not a git repository/);
});

test.each([
  [
    "a changed byte",
    () => attested([String(commits[0])]).replace("eyJ", "eyK"),
    /^prompt-backend: bad\.json was changed after it was signed: its signature does not match\.$/,
  ],
  [
    "another kind of payload",
    () => attested([String(commits[0])]).replace("in-toto+json", "in-toto+text"),
    /bad\.json has a payload of type "application\/vnd\.in-toto\+text", not/,
  ],
  [
    "a statement about something else",
    () => sealEnvelope('{"_type":"x"}', keyOf("data")),
    /bad\.json is signed, but does not state how a run of prompt-backend made commits\.$/,
  ],
  ["what is no envelope", () => "{}", /bad\.json is not a DSSE envelope\.$/],
  [
    "a file that is too long",
    () => " ".repeat(1024 * 1024 + 1),
    /bad\.json is too long: it has more than 1 MiB\.$/,
  ],
])("%s fails with one sentence", async (_, make, reason) => {
  const file = await write("bad.json", make());
  const { code, stdout, stderr } = await verify(file);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr.trimEnd()).toMatch(reason);
});

test("keys that do not fit fail with one sentence", async () => {
  await write("other.pem", keyOf("elsewhere").publicKey);
  expect((await verify("run.json", "--key", "other.pem")).stderr).toMatch(
    /run\.json is signed with another key \(/,
  );
  expect((await verify("run.json", "--key", "run.json")).stderr).toMatch(
    /run\.json is not an Ed25519 public key in PEM/,
  );
  expect((await verify("run.json", "--key", "none.pem")).stderr).toMatch(/none\.pem cannot be read: /);
  expect((await verify("none.json")).stderr).toMatch(/none\.json cannot be read: /);
  const env = { DATA_DIR: at("empty") };
  const { code, stderr } = await runProgram(["verify", "run.json"], { cwd: folder, env });
  expect(code).toBe(1);
  expect(stderr).toMatch(/There is no key to verify with: .*GET \/provenance\/key/);
});
