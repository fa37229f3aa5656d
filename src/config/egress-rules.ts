import { ConfigMistake } from "./mistakes.ts";
import type { Parse } from "./parsers.ts";

/** One entry of EGRESS_ALLOW. */
export interface EgressRule {
  /** As written, for people. */
  text: string;
  /** A host name or an address, in lower case and without brackets; with `suffix`, what the name ends with: `.example.com`. */
  host: string;
  suffix: boolean;
  /** Undefined: 443 and 80. */
  port: number | undefined;
  /** Set: plain HTTP only, with these methods. */
  http: { methods: readonly string[]; path: string; prefix: boolean } | undefined;
}

const HOST = String.raw`(\*\.)?(\[[0-9a-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?`;
const PLAIN = new RegExp(`^${HOST}$`, "i");
const HTTP = new RegExp(`^(?:([A-Z]+(?:\\|[A-Z]+)*) )?http://${HOST}(/[^\\s?#]*)?$`, "i");

/**
 * Entries separated by commas, such as `github.com`, `*.example.org:443`, `10.0.0.5:4873`,
 * `GET|HEAD http://deb.example/debian/*`.
 */
export const egressRules: Parse<readonly EgressRule[]> = (value) =>
  value
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean)
    .map(ruleOf);

function ruleOf(text: string): EgressRule {
  const plain = PLAIN.exec(text);
  const [wildcard, host, port, http] = plain
    ? [plain[1], plain[2], plain[3], undefined]
    : httpParts(HTTP.exec(text) ?? refuse(text));
  if (host === undefined || Number(port ?? 1) < 1 || Number(port ?? 1) > 65_535) refuse(text);
  const name = (host as string).toLowerCase().replace(/^\[|\]$/g, "");
  return {
    text,
    host: wildcard ? `.${name}` : name,
    suffix: wildcard !== undefined,
    port: port === undefined ? undefined : Number(port),
    http,
  };
}

function httpParts(match: RegExpExecArray) {
  const [, methods = "GET|HEAD", wildcard, host, port = "80", path = "/*"] = match;
  const prefix = path.endsWith("*");
  const http = { methods: methods.toUpperCase().split("|"), path: prefix ? path.slice(0, -1) : path, prefix };
  return [wildcard, host, port, http] as const;
}

function refuse(text: string): never {
  throw new ConfigMistake(
    "config_invalid_egress",
    `${JSON.stringify(text)} is not host, *.suffix, host:port, or METHOD http://host/path/*`,
  );
}
