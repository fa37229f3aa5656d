import type { CreateProjectInput, ProjectDto } from "../../../sdk/src/index.ts";
import { newKey } from "../ui/new-key.ts";
import { NO_AMOUNT, readUsd, usdInput } from "../ui/usd.ts";

export interface Variable {
  /** For the page alone. */
  key: string;
  name: string;
  value: string;
}

/** A project as its page has it: what people type. Secrets are no part of it, because it is kept in the browser. */
export interface Form {
  repo: string;
  instructions: string;
  setup_command: string;
  environment: readonly Variable[];
  /** One a line. */
  egress_hosts: string;
  /** JSON; empty: none. */
  mcp_servers: string;
  agent: string;
  model: string;
  mode: string;
  pull_request: string;
  budget_usd: string;
}
export type FieldName = keyof Form | "secrets";

export const LABELS: Readonly<Record<FieldName, string>> = {
  repo: "Repository",
  instructions: "Instructions",
  setup_command: "Setup command",
  environment: "Environment",
  secrets: "Secrets",
  egress_hosts: "Allowed hosts",
  mcp_servers: "MCP servers",
  agent: "Agent",
  model: "Model",
  mode: "Mode",
  pull_request: "Pull request",
  budget_usd: "Budget",
};

/** What is wrong with a field, or with the variable or secret of that name in it. */
export interface Fault {
  field: FieldName;
  name: string | undefined;
  text: string;
}

export const emptyForm = (repo: string): Form => ({
  repo,
  instructions: "",
  setup_command: "",
  environment: [],
  egress_hosts: "",
  mcp_servers: "",
  ...{ agent: "", model: "", mode: "", pull_request: "", budget_usd: "" },
});

export const formOf = (project: ProjectDto): Form => ({
  repo: project.repo,
  instructions: project.instructions,
  setup_command: project.setup_command,
  environment: Object.entries(project.environment).map(([name, value]) => ({ key: newKey(), name, value })),
  egress_hosts: project.egress_hosts.join("\n"),
  mcp_servers:
    Object.keys(project.mcp_servers).length > 0 ? JSON.stringify(project.mcp_servers, undefined, 2) : "",
  agent: project.agent ?? "",
  model: project.model ?? "",
  mode: project.mode ?? "",
  pull_request: project.pull_request ?? "",
  budget_usd: project.budget_usd === null ? "" : usdInput(project.budget_usd),
});

export const hostsIn = (text: string): string[] =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");

const plain = (form: Form, field: keyof Form) =>
  field === "environment"
    ? JSON.stringify(form.environment.map(({ name, value }) => [name, value]))
    : form[field];

/** The fields in which two forms differ. */
export const difference = (one: Form, other: Form): (keyof Form)[] =>
  (Object.keys(one) as (keyof Form)[]).filter((field) => plain(one, field) !== plain(other, field));

/** What the service is sent. @returns faults instead, where it can be seen here that it would be refused. */
export function toInput(form: Form): { input: CreateProjectInput } | { faults: Fault[] } {
  const faults: Fault[] = [];
  const fault = (field: FieldName, text: string, name?: string) => faults.push({ field, name, text });
  if (form.repo.trim() === "") fault("repo", "Say which repository the project is for.");
  const environment: Record<string, string> = {};
  for (const { name, value } of form.environment) {
    const trimmed = name.trim();
    if (trimmed === "" && value === "") continue;
    if (trimmed === "") fault("environment", "This variable has no name.", "");
    else if (Object.hasOwn(environment, trimmed)) fault("environment", `${trimmed} is there twice.`, trimmed);
    environment[trimmed] = value;
  }
  const servers = serversIn(form.mcp_servers);
  if (typeof servers === "string") fault("mcp_servers", servers);
  const budget = form.budget_usd.trim() === "" ? null : readUsd(form.budget_usd);
  if (budget === undefined) fault("budget_usd", NO_AMOUNT);
  if (faults.length > 0 || typeof servers === "string" || budget === undefined) return { faults };
  return {
    input: {
      repo: form.repo.trim(),
      instructions: form.instructions,
      setup_command: form.setup_command,
      environment,
      egress_hosts: hostsIn(form.egress_hosts),
      mcp_servers: servers,
      agent: form.agent || null,
      model: form.model.trim() || null,
      mode: (form.mode || null) as ProjectDto["mode"],
      pull_request: (form.pull_request || null) as ProjectDto["pull_request"],
      budget_usd: budget,
    },
  };
}

/** Servers by name, also where they are wrapped in `mcpServers` as files of Claude Code have them. @returns or what is wrong. */
export function serversIn(text: string): Record<string, unknown> | string {
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `This is not JSON: ${error instanceof Error ? error.message : "it cannot be read"}`;
  }
  if (isMap(value) && isMap(value["mcpServers"]) && Object.keys(value).length === 1)
    return value["mcpServers"];
  return isMap(value) ? value : "An object of servers by their names, as in the example.";
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Where a refusal of the service belongs, which begins with the field: `environment.NAME: …`, `secrets: "NAME" …`. */
export function faultOf(error: { code: string | undefined; msg: string }, form: Form): Fault | undefined {
  const { msg, code } = error;
  if (code === "invalid_repo" || code === "project_exists")
    return { field: "repo", name: undefined, text: msg };
  const [, path = "", rest = ""] = /^(?:body\.)?([\w.-]+): (.*)$/s.exec(msg) ?? [];
  const [field = "", name] = path.split(".");
  if (field === "environment" || field === "secrets")
    return { field, name: name ?? /^"?([^\s"]+)"? is /.exec(rest)?.[1], text: msg };
  if (Object.hasOwn(LABELS, field)) return { field: field as FieldName, name: undefined, text: msg };
  if (form.environment.some((one) => one.name.trim() === path))
    return { field: "environment", name: path, text: msg };
  return undefined;
}
