import { type EgressRule, egressRule } from "../shared/egress-rule.ts";
import { AppError } from "../shared/errors.ts";
import { isObject } from "../shared/json.ts";

const KIB = 1024;
const MAX_VARIABLES = 100;
const MAX_SECRETS = 50;
const MAX_VALUE_BYTES = 32 * KIB;
const MAX_INSTRUCTIONS_BYTES = 32 * KIB;
const MAX_SETUP_BYTES = 16 * KIB;
const MAX_MCP_BYTES = 64 * KIB;
const MAX_MCP_SERVERS = 50;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
/** What the sandbox, the gateway or an agent's access to its model sets. */
const RESERVED = [
  "PATH",
  "HOME",
  "TMPDIR",
  "LANG",
  "IFS",
  "SHELL",
  "USER",
  "PWD",
  "IS_SANDBOX",
  "NODE_USE_ENV_PROXY",
  // Where sandboxes have users of their own, root's setpriv is the first program there, and its libc reads files that these name.
  ...["GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH", "NLSPATH"],
];
const RESERVED_PREFIXES = ["LD_", "GIT_", "ANTHROPIC_", "CLAUDE_", "CODEX_", "AGENT_", "PROMPT_BACKEND_"];
const MODEL_NAMES = [
  "OPENAI_API_KEY",
  "OPENAI_BASE_URL",
  "GEMINI_API_KEY",
  "GOOGLE_API_KEY",
  "GOOGLE_GEMINI_BASE_URL",
];
const PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY"];
const RESERVED_TEXT = [
  ...RESERVED,
  ...MODEL_NAMES,
  ...PROXIES,
  ...RESERVED_PREFIXES.map((one) => `${one}*`),
].join(", ");

/** What of a project comes from its user and needs more than a schema. No message has a value in it. */
interface Given {
  instructions?: string | undefined;
  setup_command?: string | undefined;
  environment?: Readonly<Record<string, string>> | undefined;
  secrets?: Readonly<Record<string, string | null>> | undefined;
  mcp_servers?: Readonly<Record<string, unknown>> | undefined;
  egress_hosts?: readonly string[] | undefined;
}

/** @throws AppError `invalid` */
export function checkProject(given: Given): void {
  const { environment = {}, secrets = {}, mcp_servers: servers, egress_hosts: hosts } = given;
  checkText("instructions", given.instructions, MAX_INSTRUCTIONS_BYTES);
  checkText("setup_command", given.setup_command, MAX_SETUP_BYTES);
  if (Object.keys(environment).length > MAX_VARIABLES)
    refuse(`environment: has more than ${MAX_VARIABLES} variables`);
  for (const [name, value] of Object.entries(environment)) {
    checkName("environment", name);
    checkText(`environment.${name}`, value, MAX_VALUE_BYTES);
  }
  // What is named here is not counted with what is stored: as many may be removed as are set.
  if (Object.keys(secrets).length > 2 * MAX_SECRETS)
    refuse(`secrets: names more than ${2 * MAX_SECRETS}; a project has up to ${MAX_SECRETS}`);
  for (const [name, value] of Object.entries(secrets)) {
    checkName("secrets", name);
    if (value === "") refuse(`secrets.${name}: is empty; null removes it`);
    checkText(`secrets.${name}`, value ?? undefined, MAX_VALUE_BYTES);
  }
  if (hosts) hostRules(hosts);
  if (servers) checkServers(servers);
}

/** What only the whole project shows. @throws AppError `invalid` */
export function checkTogether(project: {
  environment: Record<string, string>;
  secrets: readonly string[];
}): void {
  if (project.secrets.length > MAX_SECRETS) refuse(`secrets: there would be more than ${MAX_SECRETS}`);
  for (const name of project.secrets)
    if (Object.hasOwn(project.environment, name))
      refuse(`${name}: is in environment and in secrets; keep one of them`);
}

/** As EGRESS_ALLOW has them. @throws AppError `invalid` */
export function hostRules(hosts: readonly string[]): readonly EgressRule[] {
  return hosts.map(
    (host) =>
      egressRule(host) ??
      refuse(
        `egress_hosts: ${JSON.stringify(host.slice(0, 100))} is not host, *.suffix, host:port, or METHOD http://host/path/*`,
      ),
  );
}

function checkName(field: string, name: string): void {
  const shown = name.length > 128 ? `${name.slice(0, 40)}…` : name;
  if (!NAME.test(name))
    refuse(
      `${field}: ${JSON.stringify(shown)} is no name of a variable: letters, digits and _, no digit first`,
    );
  const upper = name.toUpperCase();
  if (
    [...RESERVED, ...MODEL_NAMES, ...PROXIES].includes(upper) ||
    RESERVED_PREFIXES.some((prefix) => upper.startsWith(prefix))
  )
    refuse(`${field}: ${name} is set by the service itself; reserved are ${RESERVED_TEXT}`);
}

function checkText(field: string, text: string | undefined, maxBytes: number): void {
  if (text === undefined) return;
  if (Buffer.byteLength(text) > maxBytes) refuse(`${field}: is longer than ${maxBytes / KIB} KiB`);
  if (text.includes("\0") || !text.isWellFormed()) refuse(`${field}: contains NUL or half a character`);
}

/** In the shape of Claude Code's `mcpServers`. */
function checkServers(servers: Readonly<Record<string, unknown>>): void {
  if (Buffer.byteLength(JSON.stringify(servers)) > MAX_MCP_BYTES)
    refuse(`mcp_servers: is longer than ${MAX_MCP_BYTES / KIB} KiB`);
  if (/\\u0000/i.test(JSON.stringify(servers))) refuse("mcp_servers: contains NUL");
  const entries = Object.entries(servers);
  if (entries.length > MAX_MCP_SERVERS) refuse(`mcp_servers: has more than ${MAX_MCP_SERVERS} servers`);
  for (const [name, server] of entries) {
    if (!/^[\w.-]{1,64}$/.test(name)) refuse("mcp_servers: a name has 1 to 64 letters, digits, dots, _ or -");
    const at = `mcp_servers.${name}`;
    const fields = isObject(server) ? server : refuse(`${at}: must be an object`);
    const type = fields["type"] ?? (fields["url"] === undefined ? "stdio" : "http");
    const known = type === "stdio" ? ["type", "command", "args", "env"] : ["type", "url", "headers"];
    if (type !== "stdio" && type !== "http" && type !== "sse")
      refuse(`${at}.type: must be stdio, http or sse`);
    if (Object.keys(fields).some((key) => !known.includes(key)))
      refuse(`${at}: has only ${known.join(", ")}`);
    if (type === "stdio") {
      if (typeof fields["command"] !== "string" || fields["command"] === "")
        refuse(`${at}.command: is missing`);
      const args = fields["args"] ?? [];
      if (!Array.isArray(args) || args.some((one) => typeof one !== "string"))
        refuse(`${at}.args: must be texts`);
      checkTexts(`${at}.env`, fields["env"]);
    } else {
      const url = fields["url"];
      // With a secret in it, it is an address only at run time.
      if (typeof url !== "string" || !/^(https?:\/\/|\$\{)/.test(url))
        refuse(`${at}.url: must be http or https`);
      checkTexts(`${at}.headers`, fields["headers"]);
    }
  }
}

function checkTexts(field: string, value: unknown): void {
  if (value === undefined) return;
  if (!isObject(value) || Object.values(value).some((one) => typeof one !== "string"))
    refuse(`${field}: must be an object of texts`);
}

function refuse(message: string): never {
  throw new AppError("invalid", message);
}
