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

/** @returns undefined: it is none. */
export function egressRule(text: string): EgressRule | undefined {
  const plain = PLAIN.exec(text);
  const match = plain ?? HTTP.exec(text);
  if (!match) return undefined;
  const [wildcard, host, port, http] = plain ? [plain[1], plain[2], plain[3], undefined] : httpParts(match);
  if (host === undefined || Number(port ?? 1) < 1 || Number(port ?? 1) > 65_535) return undefined;
  const name = host.toLowerCase().replace(/^\[|\]$/g, "");
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
