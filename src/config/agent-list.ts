import { AGENT_NAMES, MODEL_APIS, type ModelApi, RUN_MODES, type RunMode } from "../shared/agent-kinds.ts";
import { ConfigMistake } from "./mistakes.ts";
import type { Parse } from "./parsers.ts";

const PROTOCOLS = ["claude", "acp", "lines"] as const;
const NAME = /^[a-z][a-z\d-]{0,31}$/;
const VARIABLE = /^[A-Z_][A-Z\d_]{0,63}$/;
const FORM =
  'a JSON array such as [{"name":"mine","title":"Mine","command":["my-agent","--acp"],"protocol":"acp"}]';

/** An agent beside the built-in ones. */
export interface DeclaredAgent {
  name: string;
  title: string;
  command: readonly [string, ...string[]];
  protocol: (typeof PROTOCOLS)[number];
  models: readonly string[];
  modes?: readonly RunMode[];
  steering?: boolean;
  maxTurns?: boolean;
  modelApi?: ModelApi;
  baseUrlEnv?: string;
  keyEnv?: string;
}

type Check = readonly [isValid: (value: unknown) => boolean, what: string];

const isText = (value: unknown): value is string =>
  typeof value === "string" && value.trim() !== "" && !value.includes("\0");
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);
const oneIn = (list: readonly string[]): Check => [
  (value) => list.some((one) => one === value),
  `one of ${list.join(", ")}`,
];
const variable: Check = [(value) => isText(value) && VARIABLE.test(value), "the name of a variable"];
const flag: Check = [(value) => typeof value === "boolean", "true or false"];
const KEYS: Readonly<Record<keyof DeclaredAgent, Check>> = {
  name: [(value) => isText(value) && NAME.test(value), "a name of a-z, 0-9 and -, up to 32 characters"],
  title: [isText, "a text"],
  command: [(value) => isTexts(value) && value.length > 0, "a list of a program and its arguments"],
  protocol: oneIn(PROTOCOLS),
  models: [isTexts, "a list of texts"],
  modes: [
    (value) =>
      isTexts(value) && value.length > 0 && value.every((one) => RUN_MODES.some((mode) => mode === one)),
    `a list of ${RUN_MODES.join(", ")}`,
  ],
  steering: flag,
  maxTurns: flag,
  modelApi: oneIn(MODEL_APIS),
  baseUrlEnv: variable,
  keyEnv: variable,
};
/** What is known of agents of the other protocols. */
const LINES_ONLY = ["steering", "maxTurns"] as const;
const REQUIRED = ["name", "command", "protocol"] as const;

/** The agents of AGENTS. All of its mistakes are reported, each by the name of its agent. */
export const agentList: Parse<readonly DeclaredAgent[]> = (value) => {
  const mistakes: string[] = [];
  const found = entriesOf(value).map((one, index) => {
    const entry: Record<string, unknown> =
      typeof one === "object" && one !== null && !Array.isArray(one) ? { ...one } : {};
    const named = isText(entry["name"]) ? JSON.stringify(entry["name"].slice(0, 50)) : `entry ${index + 1}`;
    mistakes.push(...mistakesOf(entry).map((mistake) => `${named} ${mistake}`));
    return entry as unknown as DeclaredAgent;
  });
  for (const [index, { name }] of found.entries()) {
    if (AGENT_NAMES.some((one) => one === name))
      mistakes.push(`${JSON.stringify(name)} has the name of a built-in agent`);
    if (isText(name) && found.findIndex((one) => one.name === name) < index)
      mistakes.push(`${JSON.stringify(name)} is declared twice`);
  }
  if (mistakes.length > 0) throw new ConfigMistake("config_invalid_agents", mistakes.join("; "));
  return found.map((one) => ({ ...one, title: one.title ?? one.name, models: one.models ?? [] }));
};

function entriesOf(value: string): unknown[] {
  try {
    const list: unknown = JSON.parse(value);
    if (Array.isArray(list)) return list;
  } catch {
    // Said below.
  }
  throw new ConfigMistake("config_invalid_agents", `must be ${FORM}`);
}

function mistakesOf(entry: Record<string, unknown>): string[] {
  const keys = Object.keys(KEYS) as (keyof DeclaredAgent)[];
  const unknown = Object.keys(entry).filter((key) => !keys.some((one) => one === key));
  return [
    ...unknown.map(
      (key) => `has the unknown key ${JSON.stringify(key.slice(0, 50))}; the keys are ${keys.join(", ")}`,
    ),
    ...REQUIRED.filter((key) => entry[key] === undefined).map((key) => `has no ${key}`),
    ...LINES_ONLY.filter((key) => entry[key] !== undefined && entry["protocol"] !== "lines").map(
      (key) => `has ${key}, which is only for the protocol lines: leave it out`,
    ),
    ...(["baseUrlEnv", "keyEnv"] as const)
      .filter((key) => entry[key] !== undefined && !entry["modelApi"] && entry["protocol"] !== "claude")
      .map((key) => `has ${key}, but no modelApi, whose base URL and key these are`),
    ...keys
      .filter((key) => entry[key] !== undefined && !KEYS[key][0](entry[key]))
      .map((key) => `has a ${key} that is not ${KEYS[key][1]}`),
  ];
}
