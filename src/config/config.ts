import { OperatorError } from "../shared/errors.ts";
import { Secret } from "../shared/secret.ts";
import { checkValues } from "./checks.ts";
import { type Env, isRow, type Mistakes, type Rows, readRows } from "./rows.ts";
import { withSecretFiles } from "./secret-sources.ts";
import { ROWS, SECRET_NAMES } from "./variables/all.ts";

export type { AuthConfig, OidcClient } from "./checks.ts";
export { type Forgotten, forgetSecrets } from "./forget-secrets.ts";
export { isLoopback } from "./parsers.ts";

/** The settings of a process: the values of all variables (see variables/ for each), and what was derived from them. */
export type Config = Readonly<ReturnType<typeof checkValues>>;
/** Limits that stop a run or keep it from starting. */
export type RunLimits = Config["runLimits"];
/** How long data is kept after it was last needed. */
export type RetentionLimits = Config["retention"];

/**
 * Reads and checks the environment; config/ alone does so.
 * @param options.serves this process will listen, so that it must be settled who has access. Default true.
 * @param options.repositories more folders for LOCAL_REPOSITORIES, from the command line.
 * @throws OperatorError that names every wrong variable at once, and never a secret's value (exit code 1).
 */
export function readConfig(
  env: Env = process.env,
  options: { serves?: boolean; repositories?: string | undefined } = {},
): Config {
  const { serves = true, repositories } = options;
  const mistakes: Mistakes = new Map();
  const listed = [env["LOCAL_REPOSITORIES"], repositories].filter(Boolean).join(":");
  const given = withSecretFiles(SECRET_NAMES, env, mistakes);
  const values = readRows(ROWS, { ...given, LOCAL_REPOSITORIES: listed }, mistakes);
  const path = env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin";
  const config = checkValues(values, { serves, path, mistakes });
  if (mistakes.size > 0) throw new OperatorError(describeMistakes(mistakes));
  return Object.freeze(config);
}

function describeMistakes(mistakes: Mistakes): string {
  const count = mistakes.size === 1 ? "a mistake" : `${mistakes.size} mistakes`;
  const lines = [...mistakes].map(([name, { message, code }]) => `  ${name}: ${message} (${code})`);
  return `The configuration has ${count}; docs/ERRORS.md explains the codes:\n${lines.join("\n")}`;
}

/** The environment of the git commands of the demo agent, which is a process of its own inside a sandbox. */
export function gitEnvironment(env: Env = process.env): Env {
  return { PATH: env["PATH"], HOME: env["HOME"], LANG: "C.UTF-8" };
}

/** The environment of an agent whose driver this process is, inside a sandbox: the same. */
export function agentEnvironment(env: Env = process.env): Env {
  return { ...env };
}

/** The environment of a program that opens a window; undefined where there is no display. */
export function displayEnvironment(env: Env = process.env): Env | undefined {
  if (process.platform !== "darwin" && !env["DISPLAY"] && !env["WAYLAND_DISPLAY"]) return undefined;
  const names =
    /^(PATH|HOME|USER|LANG|DISPLAY|XAUTHORITY|WAYLAND_DISPLAY|DBUS_SESSION_BUS_ADDRESS|BROWSER|XDG_\w+)$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => names.test(name)));
}

/**
 * The variables whose values are not the defaults, for the audit log, where they cannot be removed: secrets as `***`, of
 * AGENT_COMMAND the program alone, and URLs without what may be a password or a key.
 */
export function settingsOf(config: Config): Record<string, unknown> {
  return Object.fromEntries(changedIn(ROWS, config as unknown as Record<string, unknown>));
}

function changedIn(rows: Rows, values: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(rows).flatMap(([setting, one]) => {
    const value = values[setting];
    if (!isRow(one)) return changedIn(one, (value ?? {}) as Record<string, unknown>);
    const fallback = one.default === undefined ? undefined : one.parse(one.default);
    if (value === undefined || Bun.deepEquals(value, fallback)) return [];
    if (one.secret) return [[one.env, "***"] as [string, unknown]];
    if (one.env === "AGENT_COMMAND") return [[one.env, (value as readonly string[])[0]] as [string, unknown]];
    return [[one.env, withoutCredentials(value)] as [string, unknown]];
  });
}

function withoutCredentials(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutCredentials);
  const url = typeof value === "string" && value.includes("://") ? URL.parse(value) : null;
  if (!url?.username && !url?.password && !url?.search && !url?.hash) return value;
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** Values to redact: all secrets and URL passwords, raw and decoded; of a secret with several lines, each. */
export function secretsOf({ databaseUrl, redisUrl, ...others }: Config): string[] {
  const passwords = [databaseUrl, redisUrl].flatMap((url) => {
    const password = (url && URL.parse(url.reveal())?.password) || "";
    try {
      return [...new Set([password, decodeURIComponent(password)])];
    } catch {
      return [password];
    }
  });
  return [...new Set([...secretsIn(others), ...passwords])].filter(Boolean);
}

function secretsIn(value: unknown): string[] {
  // The marks of a PEM are no secrets.
  if (value instanceof Secret)
    return value
      .reveal()
      .split("\n")
      .filter((line) => !line.startsWith("-----"));
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(secretsIn) : [];
}
