import { expect, test } from "bun:test";
import { join } from "node:path";
import { parseArgs } from "../../src/cli/args.ts";
import { helpText } from "../../src/cli/help.ts";
import { VARIABLES } from "../../src/config/variables/all.ts";
import { OperatorError } from "../../src/shared/errors.ts";
import { TASK_NAMES } from "../../src/tasks/names.ts";

const parse = (line: string) => parseArgs(line.split(" ").filter(Boolean), TASK_NAMES);
const run = (server: boolean, tasks: readonly string[], welcome = false) => ({
  name: "run",
  server,
  tasks,
  welcome,
  handover: "leave",
  repositories: undefined,
});

test.each([
  ["", run(true, TASK_NAMES, true)],
  ["--server", run(true, [])],
  ["--server --all-bg-tasks", run(true, TASK_NAMES)],
  ["--all-bg-tasks --server", run(true, TASK_NAMES)],
  ["--all-bg-tasks", run(false, TASK_NAMES)],
  ["--bg-tasks outbox-publisher ip-return-poller", run(false, ["ip-return-poller", "outbox-publisher"])],
  ["--bg-tasks prompt-runner --server", run(true, ["prompt-runner"])],
  ["--bg-tasks prompt-runner prompt-runner", run(false, ["prompt-runner"])],
  ["server", run(true, [])],
  ["server --with-bg-tasks", run(true, TASK_NAMES)],
  ["bg-tasks", run(false, TASK_NAMES)],
  ["bg-tasks session-poller", run(false, ["session-poller"])],
  ["migrate", { name: "migrate", check: false }],
  ["migrate --check", { name: "migrate", check: true }],
  ["print-openapi", { name: "print-openapi" }],
  ["token --user alice", { name: "token", user: "alice", roles: [] }],
  ["token --role admin --user alice --role x", { name: "token", user: "alice", roles: ["admin", "x"] }],
  ["token --user=-x", { name: "token", user: "-x", roles: [] }],
  ["backup -- -x", { name: "backup", file: "-x", force: false }],
  ["backup x.tar.gz", { name: "backup", file: "x.tar.gz", force: false }],
  ["backup --force x", { name: "backup", file: "x", force: true }],
  ["doctor", { name: "doctor", json: false }],
  ["doctor --json", { name: "doctor", json: true }],
  ["sandbox-check", { name: "sandbox-check", json: false, only: [] }],
  ["sandbox-check --json a b", { name: "sandbox-check", json: true, only: ["a", "b"] }],
  ["attack a", { name: "attack", ids: ["a"], unisolated: false }],
  ["provenance-key", { name: "provenance-key" }],
  ["verify x", { name: "verify", file: "x", keyFile: undefined, repository: undefined }],
  ["verify x --key k --repository .", { name: "verify", file: "x", keyFile: "k", repository: "." }],
  ["restore x", { name: "restore", file: "x" }],
  ["--help", { name: "help" }],
  ["migrate --help", { name: "help" }],
  ["--version", { name: "version" }],
] as const)("%p", (line, command) => {
  expect(parse(line) as unknown).toEqual(command as unknown);
});

test.each([
  ["fly", /unknown command "fly"; valid: server/],
  ["--fly", /unknown option "--fly"; valid: --server/],
  ["--bg-tasks", /needs at least one name: ip-return-poller/],
  ["--bg-tasks nonsense", /unknown task "nonsense"; valid: ip-return-poller/],
  ["bg-tasks nonsense", /unknown task "nonsense"/],
  ["--all-bg-tasks --bg-tasks prompt-runner", /exclude each other/],
  ["server --now", /server does not take "--now"; valid: --with-bg-tasks/],
  ["migrate --force", /migrate does not take "--force"/],
  ["token", /needs --user NAME/],
  ["token --user", /--user needs a value/],
  ["token --user --role", /--user needs a value/],
  ["doctor --all", /doctor does not take "--all"/],
  ["backup", /backup needs a file/],
  ["backup a b", /backup does not take "b"/],
  ["restore --force x", /restore does not take "--force"/],
  ["--server migrate", /unknown option "migrate"/],
  ["--bg-tasks prompt-runner --server migrate", /unknown option "migrate"/],
  // Names that every object has.
  ["--constructor", /unknown option "--constructor"/],
  ["--__proto__", /unknown option "--__proto__"/],
  ["--server=no", /unknown option "--server=no"/],
  ["doctor --json=no", /--json takes no value/],
  ["token --user= --role x", /--user needs a value/],
  ["--version --server", /--version does not take "--server"/],
  ["token alice", /token does not take "alice"; valid: --user, --role/],
] as const)("%p is refused in one line with exit code 2", (line, message) => {
  const error = (() => {
    try {
      return parse(line);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toBeInstanceOf(OperatorError);
  const { message: text, exitCode } = error as OperatorError;
  expect(text).toMatch(message);
  expect(text).not.toContain("\n");
  expect(exitCode).toBe(2);
});

test("--repositories is valid anywhere with what runs the service, and with no other command", () => {
  expect(parse("--repositories /srv/a:/srv/b")).toMatchObject({
    welcome: true,
    repositories: "/srv/a:/srv/b",
  });
  expect(parse("server --repositories=/srv/a --with-bg-tasks")).toMatchObject({
    tasks: TASK_NAMES,
    repositories: "/srv/a",
  });
  expect(parse("--repositories code")).toMatchObject({ repositories: join(process.cwd(), "code") });
  expect(() => parse("--repositories")).toThrow("--repositories needs folders");
  expect(() => parse("migrate --repositories /a")).toThrow("migrate does not take --repositories");
});

test("--handover=stop is valid anywhere with what runs the service, and with no other command", () => {
  expect(parse("--handover=stop")).toMatchObject({ name: "run", handover: "stop" });
  expect(parse("server --handover=stop --with-bg-tasks")).toMatchObject({ server: true, handover: "stop" });
  expect(parse("bg-tasks prompt-runner --handover=stop")).toMatchObject({ tasks: ["prompt-runner"] });
  expect(() => parse("migrate --handover=stop")).toThrow("migrate does not take --handover=stop");
});

test("--help lists every variable in a column of its own", () => {
  const text = helpText("1.2.3", TASK_NAMES);
  for (const name of Object.keys(VARIABLES)) expect(text).toMatch(new RegExp(`^  ${name}  +\\S`, "m"));
});
