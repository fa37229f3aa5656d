import { RequestError } from "@octokit/request-error";
import { type Static, type TSchema, Type as t } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { ForgeHost } from "../../config/forge-hosts.ts";
import { messageOf } from "../../shared/errors.ts";
import { retryAfterMs } from "../../shared/http-status.ts";
import { capitalised, credentialAdvice } from "../advice.ts";
import { ForgeError, type ForgeFault } from "../forge.ts";
import { credentialName } from "../hosts.ts";
import { believedEnd, checkReply, oneLine, VERBS } from "../replies.ts";

/** The headers of a reply that are read, here and by Octokit's plugins. */
export const REPLY_HEADERS = [
  "date",
  "retry-after",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "x-accepted-github-permissions",
  "x-github-sso",
  "x-oauth-scopes",
];

const SECONDARY_LIMIT_MS = 60_000;

/** What a request was for, in error messages. */
export interface Doing {
  host: ForgeHost;
  /** After "to": "create a pull request in owner/name". */
  what: string;
}

const FAILURE = t.Object({
  message: t.Optional(t.String()),
  errors: t.Optional(t.Array(t.Unknown())),
});

/** What GitHub says of a failure, in one line without control characters. */
interface Words {
  text: string;
  /** Of the single faults of a request. */
  errors: readonly string[];
}

/** Makes a ForgeError of whatever a request through Octokit has thrown. */
export function githubError(error: unknown, doing: Doing): unknown {
  if (!(error instanceof RequestError)) return error;
  const { what } = doing;
  const host = new URL(doing.host.url).host;
  const { status, response } = error;
  if (!response)
    return new ForgeError("unavailable", `${host} could not be reached to ${what} (${messageOf(error)}).`, {
      cause: error.cause,
    });
  const headers = new Headers(
    Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)]),
  );
  const words = wordsOf(response.data);
  const retryAt = limitedUntil(status, headers, words.text);
  if (retryAt)
    return new ForgeError(
      "rate_limited",
      `${host} limits the number of requests, and refused to ${what}. Retry after ${retryAt.toISOString()}.`,
      { retryAt },
    );
  const said = words.text && `: ${words.text}`;
  const fault = faultOf(status, words);
  return new ForgeError(
    fault,
    `${host} ${VERBS[fault]} ${what} (${status}${said}).${advice(fault, doing, words, headers)}`,
  );
}

function faultOf(status: number, { errors }: Words): ForgeFault {
  if (status === 401) return "unauthorised";
  if (status === 403) return "forbidden";
  if (status === 404) return "missing";
  if (status === 405 || status === 409) return "conflict";
  if (status >= 500) return "unavailable";
  return status === 422 && errors.some((one) => /^A pull request already exists\b/i.test(one))
    ? "exists"
    : "invalid";
}

/** What to do about it; begins with a space. */
function advice(fault: ForgeFault, { host }: Doing, { text }: Words, headers: Headers): string {
  if (fault === "invalid" && /\bdraft pull requests are not supported\b/i.test(text))
    return " Ask for one that is not a draft.";
  if (fault === "unauthorised" && host.credential?.kind === "app")
    return " The GitHub App's token has expired or was revoked: try again.";
  if (fault !== "forbidden") return credentialAdvice(fault, host);
  const name = host.credential ? credentialName(host) : "a credential";
  if (headers.has("x-github-sso"))
    return ` ${capitalised(name)} must be authorised for the organisation's single sign-on first.`;
  const accepted = headers.get("x-accepted-github-permissions");
  return accepted && /^[a-z_=,; ]{1,300}$/.test(accepted)
    ? ` ${capitalised(name)} needs the permission ${accepted.replaceAll("; ", " or ")}.`
    : ` Check that ${name} has ${RIGHTS}.`;
}

/** Of a credential for pull requests, where GitHub does not say which one is lacking. */
const RIGHTS =
  '"Pull requests: read and write", and to merge "Contents: read and write" (a classic token: the scope repo)';

/** When the rate limit that a reply speaks of ends. Undefined: it speaks of none. */
function limitedUntil(status: number, headers: Headers, text: string): Date | undefined {
  if (status !== 403 && status !== 429) return undefined;
  const secondary = /\bsecondary rate\b/i.test(text);
  const spent = headers.get("x-ratelimit-remaining") === "0";
  const asked = retryAfterMs(headers);
  if (status === 403 && !secondary && !spent && asked === undefined) return undefined;
  const reset = spent ? Number(headers.get("x-ratelimit-reset")) * 1000 - Date.now() : Number.NaN;
  const wait = asked ?? (Number.isFinite(reset) && !secondary ? reset : SECONDARY_LIMIT_MS);
  return believedEnd(wait);
}

function wordsOf(data: unknown): Words {
  if (!Value.Check(FAILURE, data)) return { text: "", errors: [] };
  const errors = (data.errors ?? []).slice(0, 5).map(faultText).filter(Boolean);
  return { text: oneLine([data.message ?? "", ...errors].filter(Boolean).join("; ")), errors };
}

function faultText(fault: unknown): string {
  if (typeof fault === "string") return oneLine(fault);
  if (typeof fault !== "object" || fault === null) return "";
  const { message, resource, field, code } = fault as Record<string, unknown>;
  if (typeof message === "string") return oneLine(message);
  return oneLine([resource, field, code].filter((one) => typeof one === "string").join(" "));
}

/** @throws ForgeError unless the reply is what the schema says, and from where it was asked. */
export function checkGithubReply<S extends TSchema>(
  schema: S,
  reply: { status: number; data: unknown },
  { host, what }: Doing,
): Static<S> {
  if (reply.status >= 300)
    throw new ForgeError(
      "missing",
      `${new URL(host.url).host} refers to another address for what it needs to ${what}: was the repository renamed or moved? Use its present URL.`,
    );
  return checkReply(schema, reply.data, host);
}
