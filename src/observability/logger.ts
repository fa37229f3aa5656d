/** Structured logging: one JSON object a line on stderr (stdout stays for a command's own output). */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFields = Record<string, unknown>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each line. */
  with(fields: LogFields): Logger;
}

export interface LoggerOptions {
  level: LogLevel;
  /** Human-readable lines instead of JSON. */
  pretty?: boolean;
  /** Exact strings that never appear in a line, whatever field they came in by. */
  secrets?: readonly string[];
  write?: (line: string) => void;
}

/** So many lines of one message in so long a time (milliseconds); the rest is counted, and the count is said later. */
const BURST = 500;
const WINDOW_MS = 10_000;
/** Fields that are secret by what they are called, whatever is in them and however deep they are. */
const SECRET_FIELD =
  /^(authorization|cookie|set-cookie|password|secret|token|access_token|borrow_token|mcp_json_string|.*[_-]?(api[_-]?key|secret|password|token))$/i;

/**
 * Makes a logger. Errors among the fields become `{name, message, stack, cause}`; fields that are secret by their name, and
 * known secrets wherever they stand, become `***`. A burst of one message is cut and counted.
 */
export function createLogger(options: LoggerOptions): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level);
  const secrets = (options.secrets ?? []).filter((secret) => secret.length >= 6);
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`));

  const redact = (text: string) => secrets.reduce((out, secret) => out.replaceAll(secret, "***"), text);
  // By message, of which there are as many as the code has.
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

function plain(key: string, value: unknown): unknown {
  if (value !== undefined && value !== null && SECRET_FIELD.test(key)) return "***";
  if (value instanceof Error)
    return {
      name: value.name,
      message: withoutValues(value, value.message),
      stack: value.stack && withoutValues(value, value.stack),
      cause: value.cause,
    };
  if (typeof value === "bigint") return value.toString();
  return value;
}

/** A failed query (Drizzle's DrizzleQueryError) is logged without its values: they are what users wrote. */
const withoutValues = (error: Error, text: string) =>
  "params" in error && Array.isArray(error.params) ? text.replace(`\nparams: ${error.params}`, "") : text;

function jsonLine(level: LogLevel, message: string, fields: LogFields): string {
  return JSON.stringify({ time: new Date().toISOString(), level, message, ...fields }, plain);
}

function prettyLine(level: LogLevel, message: string, fields: LogFields): string {
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(
      ([key, value]) =>
        `${key}=${SECRET_FIELD.test(key) ? "***" : value instanceof Error ? withoutValues(value, value.message) : typeof value === "string" ? value : JSON.stringify(value, plain)}`,
    )
    .join(" ");
  return `${new Date().toISOString().slice(11, 19)} ${level.toUpperCase().padEnd(5)} ${message}${rest ? `  ${rest}` : ""}`;
}
