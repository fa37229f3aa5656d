/** Structured logging: one JSON object per line on stderr; stdout is for the output of commands. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFields = Record<string, unknown>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** @returns a logger that adds these fields to every line. */
  with(fields: LogFields): Logger;
}

export interface LoggerOptions {
  level: LogLevel;
  /** Human-readable lines instead of JSON. */
  pretty?: boolean;
  /** Exact strings that are redacted wherever they occur. Shorter ones than 6 characters are ignored. */
  secrets?: readonly string[];
  write?: (line: string) => void;
}

/** Lines of one message per window; the rest is dropped, and the next line has their number as `suppressed`. */
const BURST = 500;
const WINDOW_MS = 10_000;
/** Fields that are redacted because of their name, at any depth. */
const SECRET_FIELD =
  /^(authorization|cookie|set-cookie|password|secret|token|access_token|borrow_token|mcp_json_string|.*[_-]?(api[_-]?key|secret|password|token))$/i;

/**
 * Errors in fields become `{name, message, stack, cause}`. Fields with the name of a secret, and known secrets anywhere,
 * become `***`. Each message is limited to 500 lines per 10 s.
 */
export function createLogger(options: LoggerOptions): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level);
  const secrets = (options.secrets ?? []).filter((secret) => secret.length >= 6);
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`));

  const redact = (text: string) => secrets.reduce((out, secret) => out.replaceAll(secret, "***"), text);
  // Keyed by message: messages are constants of the code, so the map stays small.
  const windows = new Map<string, { began: number; count: number }>();
  const emit = (level: LogLevel, base: LogFields, message: string, fields?: LogFields) => {
    if (LOG_LEVELS.indexOf(level) < threshold) return;
    const now = performance.now();
    let window = windows.get(message);
    let suppressed = 0;
    if (!window || now - window.began > WINDOW_MS) {
      suppressed = Math.max(0, (window?.count ?? 0) - BURST);
      window = { began: now, count: 0 };
      windows.set(message, window);
    }
    window.count += 1;
    if (window.count > BURST) return;
    const all = { ...base, ...fields, ...(suppressed > 0 && { suppressed }) };
    write(redact(options.pretty ? prettyLine(level, message, all) : jsonLine(level, message, all)));
  };
  const make = (base: LogFields): Logger => ({
    debug: (message, fields) => emit("debug", base, message, fields),
    info: (message, fields) => emit("info", base, message, fields),
    warn: (message, fields) => emit("warn", base, message, fields),
    error: (message, fields) => emit("error", base, message, fields),
    with: (fields) => make({ ...base, ...fields }),
  });
  return make({});
}

function serializable(key: string, value: unknown): unknown {
  if (value !== undefined && value !== null && SECRET_FIELD.test(key)) return "***";
  if (value instanceof Error)
    return {
      name: value.name,
      message: withoutParams(value, value.message),
      stack: value.stack && withoutParams(value, value.stack),
      cause: value.cause,
    };
  if (typeof value === "bigint") return value.toString();
  return value;
}

/** A failed query (DrizzleQueryError) is logged without its parameters: they may be user data. */
const withoutParams = (error: Error, text: string) =>
  "params" in error && Array.isArray(error.params) ? text.replace(`\nparams: ${error.params}`, "") : text;

function jsonLine(level: LogLevel, message: string, fields: LogFields): string {
  return JSON.stringify({ time: new Date().toISOString(), level, message, ...fields }, serializable);
}

function prettyLine(level: LogLevel, message: string, fields: LogFields): string {
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${prettyValue(key, value)}`)
    .join(" ");
  return `${new Date().toISOString().slice(11, 19)} ${level.toUpperCase().padEnd(5)} ${message}${rest ? `  ${rest}` : ""}`;
}

function prettyValue(key: string, value: unknown): string | undefined {
  if (SECRET_FIELD.test(key)) return "***";
  if (value instanceof Error) return withoutParams(value, value.message);
  return typeof value === "string" ? value : JSON.stringify(value, serializable);
}
