import { resolve } from "node:path";
import { type ParseArgsOptionsConfig, parseArgs as parse } from "node:util";
import { OperatorError } from "../shared/errors.ts";
import type { TaskName } from "../tasks/names.ts";

export type Command =
  | {
      name: "run";
      server: boolean;
      tasks: readonly TaskName[];
      welcome: boolean;
      handover: "leave" | "stop";
      /** Like LOCAL_REPOSITORIES, in addition to it. */
      repositories: string | undefined;
    }
  | { name: "migrate"; check: boolean }
  | { name: "print-openapi" }
  | { name: "provenance-key" }
  | { name: "open"; url: string | undefined }
  | { name: "token"; user: string; roles: readonly string[] }
  | { name: "backup"; file: string; force: boolean }
  | { name: "restore"; file: string }
  | { name: "doctor"; json: boolean }
  | { name: "sandbox-check"; json: boolean; only: readonly string[] }
  | { name: "verify"; file: string; keyFile: string | undefined; repository: string | undefined }
  | { name: "demo-agent" }
  | { name: "agent-driver" }
  | { name: "attack"; ids: readonly string[]; unisolated: boolean }
  | { name: "help" }
  | { name: "version" };

type ParsedCommand =
  | Exclude<Command, { name: "run" }>
  | Omit<Extract<Command, { name: "run" }>, "handover" | "repositories">;

/** Stop running agents at a shutdown and hand their prompts over, instead of leaving them to the next process here. */
const HANDOVER_STOP = "--handover=stop";
/** Folders, separated by colons, whose repositories sessions may name by path. */
const REPOSITORIES = "--repositories";
const FLAG = { type: "boolean" } as const;
const COMMANDS =
  "server, bg-tasks, migrate, doctor, sandbox-check, backup, restore, verify, provenance-key, print-openapi, open, token";

/**
 * Reads the command line: commands, and the original service's flags.
 * @param taskNames every task there is, for `--all-bg-tasks` and for checking names.
 * @throws OperatorError with exit code 2 and one line that names what is wrong and what is valid.
 */
export function parseArgs(args: readonly string[], taskNames: readonly TaskName[]): Command {
  if (args.includes("--help") || args.includes("-h")) return { name: "help" };
  // These may stand anywhere, also before the command.
  const handover = args.includes(HANDOVER_STOP) ? "stop" : "leave";
  const { folders: repositories, others } = takeFolders(args.filter((arg) => arg !== HANDOVER_STOP));
  const command = commandOf(others, taskNames);
  if (command.name === "run") return { ...command, handover, repositories };
  if (repositories !== undefined) usage(`${command.name} does not take ${REPOSITORIES}`);
  return handover === "stop" ? usage(`${command.name} does not take ${HANDOVER_STOP}`) : command;
}

/** Takes `--repositories FOLDER[:FOLDER]` or `--repositories=FOLDER[:FOLDER]` out of the arguments. */
function takeFolders(args: readonly string[]): { folders: string | undefined; others: string[] } {
  const at = args.findIndex((arg) => arg === REPOSITORIES || arg.startsWith(`${REPOSITORIES}=`));
  if (at < 0) return { folders: undefined, others: [...args] };
  const inline = args[at]?.slice(REPOSITORIES.length + 1);
  const folders = inline || args[at + 1];
  if (!folders || folders.startsWith("-")) return usage(`${REPOSITORIES} needs folders, separated by colons`);
  const others = args.toSpliced(at, inline ? 1 : 2);
  return {
    folders: folders
      .split(":")
      .map((one) => resolve(one))
      .join(":"),
    others,
  };
}

function commandOf([first, ...rest]: readonly string[], taskNames: readonly TaskName[]): ParsedCommand {
  switch (first) {
    case undefined:
      return { name: "run", server: true, tasks: taskNames, welcome: true };
    case "--version":
    case "-V":
      read(first, rest, {});
      return { name: "version" };
    case "help":
    case "print-openapi":
    case "provenance-key":
    case "demo-agent":
    case "agent-driver":
      read(first, rest, {});
      return { name: first };
    case "server": {
      const { values } = read(first, rest, { "with-bg-tasks": FLAG });
      return { name: "run", server: true, tasks: values["with-bg-tasks"] ? taskNames : [], welcome: false };
    }
    case "bg-tasks": {
      const { positionals } = read(first, rest, {}, Number.POSITIVE_INFINITY);
      const tasks = positionals.length > 0 ? tasksOf(positionals, taskNames) : taskNames;
      return { name: "run", server: false, tasks, welcome: false };
    }
    case "migrate":
      return { name: first, check: read(first, rest, { check: FLAG }).values.check ?? false };
    case "doctor":
      return { name: first, json: read(first, rest, { json: FLAG }).values.json ?? false };
    case "sandbox-check": {
      const { values, positionals } = read(first, rest, { json: FLAG }, Number.POSITIVE_INFINITY);
      return { name: first, json: values.json ?? false, only: positionals };
    }
    case "attack": {
      const { values, positionals } = read(first, rest, { unisolated: FLAG }, Number.POSITIVE_INFINITY);
      return { name: first, ids: positionals, unisolated: values.unisolated ?? false };
    }
    case "open":
      return { name: first, url: read(first, rest, { url: { type: "string" } }).values.url };
    case "token": {
      const { user, role } = read(first, rest, {
        user: { type: "string" },
        role: { type: "string", multiple: true },
      }).values;
      return { name: first, user: user ?? usage("token needs --user NAME"), roles: role ?? [] };
    }
    case "backup": {
      const { values, positionals } = read(first, rest, { force: FLAG }, 1);
      return { name: first, file: fileOf(first, positionals), force: values.force ?? false };
    }
    case "restore":
      return { name: first, file: fileOf(first, read(first, rest, {}, 1).positionals) };
    case "verify": {
      const options = { key: { type: "string" }, repository: { type: "string" } } as const;
      const { values, positionals } = read(first, rest, options, 1);
      const { key: keyFile, repository } = values;
      return { name: first, file: fileOf(first, positionals), keyFile, repository };
    }
    default:
      if (first.startsWith("-")) return readFlags([first, ...rest], taskNames);
      return usage(`unknown command ${quote(first)}; valid: ${COMMANDS}`);
  }
}

/** The options of a command, and up to `maxWords` words. */
function read<const O extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  options: O,
  maxWords = 0,
) {
  const config = { args: [...args], options, allowPositionals: true };
  const valid = Object.keys(options).map((name) => `--${name}`);
  const refuse = (arg: string) =>
    usage(`${command} does not take ${quote(arg)}${valid.length > 0 ? `; valid: ${valid.join(", ")}` : ""}`);
  let words = 0;
  // Not strictly at first: the errors of a strict parse name neither the command nor what is valid.
  for (const token of parse({ ...config, strict: false, tokens: true }).tokens) {
    if (token.kind === "positional" && ++words > maxWords) refuse(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue } = token;
    const type = options[name]?.type ?? refuse(rawName);
    if (type === "boolean" && value !== undefined) usage(`${rawName} takes no value`);
    if (type === "string" && (!value || (!inlineValue && value.startsWith("-"))))
      usage(`${rawName} needs a value`);
  }
  return parse({ ...config, strict: true });
}

/** The original service's flags: --server, --all-bg-tasks, --bg-tasks NAME..., in any order. */
function readFlags(args: readonly string[], taskNames: readonly TaskName[]): ParsedCommand {
  const options = { server: FLAG, "all-bg-tasks": FLAG, "bg-tasks": FLAG };
  const { values, tokens } = parse({
    args: [...args],
    options,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const names: string[] = [];
  let last = "";
  // util.parseArgs has no option with several values (`--bg-tasks NAME...`): the words behind it are its names.
  for (const token of tokens) {
    if (token.kind === "option") last = token.name;
    if (token.kind === "positional" && last === "bg-tasks") names.push(token.value);
    else if (token.kind !== "option" || !Object.hasOwn(options, token.name) || token.value !== undefined)
      usage(
        `unknown option ${quote(args[token.index] ?? "")}; valid: --server, --all-bg-tasks, --bg-tasks NAME..., ${HANDOVER_STOP}, ${REPOSITORIES} FOLDERS, --help, --version`,
      );
  }
  const { server = false, "all-bg-tasks": all, "bg-tasks": some } = values;
  if (some && names.length === 0) usage(`--bg-tasks needs at least one name: ${taskNames.join(", ")}`);
  if (all && some) usage("--all-bg-tasks and --bg-tasks exclude each other");
  const tasks = all ? taskNames : tasksOf(names, taskNames);
  return { name: "run", server: server === true, tasks, welcome: false };
}

/** The named tasks, each once, in the order in which they start. */
function tasksOf(names: readonly string[], taskNames: readonly TaskName[]): readonly TaskName[] {
  const wrong = names.find((name) => !taskNames.some((known) => known === name));
  if (wrong !== undefined) usage(`unknown task ${quote(wrong)}; valid: ${taskNames.join(", ")}`);
  return taskNames.filter((name) => names.includes(name));
}

const fileOf = (command: string, words: readonly string[]): string =>
  words[0] || usage(`${command} needs a file name`);

function usage(problem: string): never {
  throw new OperatorError(`${problem}. See prompt-backend --help.`, 2);
}

const quote = (text: string) => JSON.stringify(text);
