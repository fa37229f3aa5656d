import { OperatorError } from "../shared/errors.ts";
import type { TaskName } from "../tasks/names.ts";

export type Command =
  | { name: "run"; server: boolean; tasks: readonly TaskName[]; welcome: boolean; handover: "leave" | "stop" }
  | { name: "migrate"; check: boolean }
  | { name: "print-openapi" }
  | { name: "token"; user: string; roles: readonly string[] }
  | { name: "backup"; file: string; force: boolean }
  | { name: "restore"; file: string }
  | { name: "doctor"; json: boolean }
  | { name: "demo-agent" }
  | { name: "help" }
  | { name: "version" };

type ParsedCommand = Exclude<Command, { name: "run" }> | Omit<Extract<Command, { name: "run" }>, "handover">;

/**
 * Reads the command line: subcommands, and the original service's flags.
 * @param taskNames every task there is, for `--all-bg-tasks` and for checking names.
 * @throws OperatorError with exit code 2 and one line that names what was wrong and what is valid.
 */
export function parseArgs(args: readonly string[], taskNames: readonly TaskName[]): Command {
  if (args.includes("--help") || args.includes("-h")) return { name: "help" };
  const handover = args.includes(HANDOVER_STOP) ? "stop" : "leave";
  const others = args.filter((arg) => arg !== HANDOVER_STOP);
  const command = commandOf(others, taskNames);
  if (command.name === "run") return { ...command, handover };
  return handover === "stop" ? usage(`${command.name} does not take ${HANDOVER_STOP}`) : command;
}

/** At the end, running agents are ended and their prompts handed over, instead of left to the next process here. */
const HANDOVER_STOP = "--handover=stop";

function commandOf(args: readonly string[], taskNames: readonly TaskName[]): ParsedCommand {
  const [first, ...rest] = args;
  switch (first) {
    case undefined:
      return { name: "run", server: true, tasks: taskNames, welcome: true };
    case "help":
      return nothingAfter(first, rest, { name: "help" });
    case "--version":
    case "-V":
      return nothingAfter(first, rest, { name: "version" });
    case "print-openapi":
    case "demo-agent":
      return nothingAfter(first, rest, { name: first });
    case "server":
      return serverCommand(rest, taskNames);
    case "bg-tasks":
      return { name: "run", server: false, tasks: chosen(rest, taskNames), welcome: false };
    case "migrate":
      if (rest.length === 1 && rest[0] === "--check") return { name: "migrate", check: true };
      return nothingAfter(first, rest, { name: "migrate", check: false });
    case "token":
      return tokenCommand(rest);
    case "backup": {
      const others = rest.filter((arg) => arg !== "--force");
      return { name: first, file: fileOf(first, others), force: others.length < rest.length };
    }
    case "restore":
      return { name: first, file: fileOf(first, rest) };
    case "doctor":
      if (rest.length === 1 && rest[0] === "--json") return { name: first, json: true };
      return nothingAfter(first, rest, { name: first, json: false });
    default:
      if (first.startsWith("-")) return flags(args, taskNames);
      return usage(
        `unknown command ${quote(first)}; there are server, bg-tasks, migrate, doctor, backup, restore, print-openapi, token`,
      );
  }
}

/** The original's flags: --server, --all-bg-tasks, --bg-tasks NAME... in any order. */
function flags(args: readonly string[], taskNames: readonly TaskName[]): ParsedCommand {
  let server = false;
  let all = false;
  let named: string[] | undefined;
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i] as string;
    if (arg === "--server") server = true;
    else if (arg === "--all-bg-tasks") all = true;
    else if (arg === "--bg-tasks") {
      const end = args.findIndex((later, index) => index > i && later.startsWith("-"));
      const names = args.slice(i + 1, end === -1 ? undefined : end);
      named = [...(named ?? []), ...names];
      i += names.length;
      if (named.length === 0) usage(`--bg-tasks needs at least one name: ${taskNames.join(", ")}`);
    } else
      usage(
        `unknown option ${quote(arg)}; there are --server, --all-bg-tasks, --bg-tasks NAME..., --handover=stop, --help, --version`,
      );
  }
  if (all && named) usage("--all-bg-tasks and --bg-tasks exclude each other");
  const tasks = all ? taskNames : named ? chosen(named, taskNames) : [];
  return { name: "run", server, tasks, welcome: false };
}

function serverCommand(rest: readonly string[], taskNames: readonly TaskName[]): ParsedCommand {
  const wrong = rest.find((arg) => arg !== "--with-bg-tasks");
  if (wrong !== undefined) usage(`server does not know ${quote(wrong)}; it takes --with-bg-tasks`);
  return { name: "run", server: true, tasks: rest.length > 0 ? taskNames : [], welcome: false };
}

function tokenCommand(rest: readonly string[]): ParsedCommand {
  let user: string | undefined;
  const roles: string[] = [];
  for (let i = 0; i < rest.length; i += 2) {
    const option = rest[i] as string;
    const value = rest[i + 1];
    if (option !== "--user" && option !== "--role")
      return usage(`token does not know ${quote(option)}; it takes --user NAME and --role ROLE`);
    if (value === undefined || value === "" || value.startsWith("--"))
      return usage(`${option} needs a value`);
    if (option === "--user") user = value;
    else roles.push(value);
  }
  return user === undefined ? usage("token needs --user NAME") : { name: "token", user, roles };
}

function chosen(names: readonly string[], taskNames: readonly TaskName[]): readonly TaskName[] {
  if (names.length === 0) return taskNames;
  const wrong = names.find((name) => !taskNames.some((known) => known === name));
  if (wrong !== undefined) usage(`unknown task ${quote(wrong)}; there are ${taskNames.join(", ")}`);
  // In the order in which tasks start, each once.
  return taskNames.filter((name) => names.includes(name));
}

function fileOf(name: string, rest: readonly string[]): string {
  const wrong = rest.find((arg) => arg.startsWith("-")) ?? rest[1];
  if (wrong !== undefined) return usage(`${name} does not take ${quote(wrong)}`);
  return rest[0] || usage(`${name} needs a file's name`);
}

function nothingAfter(name: string, rest: readonly string[], command: ParsedCommand): ParsedCommand {
  return rest.length === 0 ? command : usage(`${name} does not take ${quote(rest[0] as string)}`);
}

function usage(problem: string): never {
  throw new OperatorError(`${problem} (prompt-backend --help tells more)`, 2);
}

const quote = (text: string) => JSON.stringify(text);
