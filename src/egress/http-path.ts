import type { EgressRule } from "../shared/egress-rule.ts";

/** What is known about a plain HTTP request before it is sent on. */
export interface HttpRequest {
  /** As sent, which is in capitals. */
  method: string;
  /** As sent, without the query. */
  path: string;
}

/**
 * Spellings that a server may take for another path: encoded dots, slashes, backslashes, percent signs and control
 * characters, dot segments, empty segments, and parameters of segments.
 */
const AMBIGUOUS = /%(2e|2f|5c|25|[01][0-9a-f]|7f)|%(?![0-9a-f]{2})|\\|;|\/\/|(^|\/)\.{1,2}(\/|$)/i;

/** Whether a rule for plain HTTP covers a request. Where it restricts the path, a path with two readings is not covered. */
export function coversRequest(rule: NonNullable<EgressRule["http"]>, { method, path }: HttpRequest): boolean {
  if (!rule.methods.includes(method)) return false;
  if (rule.prefix && rule.path === "/") return path.startsWith("/");
  if (AMBIGUOUS.test(path)) return false;
  return rule.prefix ? path.startsWith(rule.path) : path === rule.path;
}
