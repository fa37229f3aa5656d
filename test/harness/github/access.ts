import type { KeyObject } from "node:crypto";
import { jwtVerify } from "jose";
import { type GithubObjects, OPERATIONS } from "./objects.ts";
import { refusal, type StandInReply } from "./replies.ts";
import type { StandInRepository, StandInToken } from "./state.ts";

/** What each operation needs of a token: one of these. As GitHub's documentation says. */
const NEEDS: Readonly<Record<string, readonly (readonly [string, "read" | "write"])[]>> = {
  [OPERATIONS.list]: [["pull_requests", "read"]],
  [OPERATIONS.create]: [["pull_requests", "write"]],
  [OPERATIONS.read]: [["pull_requests", "read"]],
  [OPERATIONS.merge]: [["contents", "write"]],
  [OPERATIONS.checkRuns]: [["checks", "read"]],
  [OPERATIONS.status]: [["statuses", "read"]],
  [OPERATIONS.reviews]: [["pull_requests", "read"]],
  [OPERATIONS.ask]: [["pull_requests", "write"]],
  [OPERATIONS.label]: [
    ["issues", "write"],
    ["pull_requests", "write"],
  ],
};

/** Milliseconds that the signature of an app may be valid. */
const APP_SIGNATURE_MS = 10 * 60_000;

/** @returns the refusal of a request by this token, which may be none, for an operation on this repository. */
export function refusalOf(
  operation: string,
  token: StandInToken | undefined,
  repository: StandInRepository | undefined,
): StandInReply | undefined {
  const visible =
    repository &&
    (!repository.private ||
      (token && (token.repositories === undefined || token.repositories.includes(repository.path))));
  if (!visible) return refusal(404, "Not Found");
  const needs = NEEDS[operation] ?? [];
  const held = token?.permissions;
  const reading = needs.some(([, level]) => level === "read");
  if (!token) return reading ? undefined : refusal(401, "Requires authentication");
  const may = ([name, level]: readonly [string, string]) =>
    held === undefined || held[name] === "write" || held[name] === level;
  if ((reading && !repository.private) || needs.some(may)) return undefined;
  const by = token.installation === undefined ? "personal access token" : "integration";
  return refusal(403, `Resource not accessible by ${by}`, {
    headers: { "x-accepted-github-permissions": needs.map((need) => need.join("=")).join("; ") },
  });
}

/** The user that a token is of. */
export function userOf(token: StandInToken | undefined, objects: GithubObjects): StandInReply {
  if (!token) return refusal(401, "Requires authentication");
  if (token.installation !== undefined) return refusal(403, "Resource not accessible by integration");
  const headers = token.scopes === undefined ? {} : { "x-oauth-scopes": token.scopes };
  return { status: 200, body: objects.self(token.login), headers };
}

/** The repositories of a token's user, the last pushed ones first; GitHub's largest page. */
export function repositoriesOf(
  token: StandInToken | undefined,
  repositories: readonly StandInRepository[],
  objects: GithubObjects,
): StandInReply {
  if (!token) return refusal(401, "Requires authentication");
  if (token.installation !== undefined) return refusal(403, "Resource not accessible by integration");
  const own = visibleTo(token, repositories).toSorted((one, other) =>
    one.pushedAt < other.pushedAt ? 1 : -1,
  );
  return { status: 200, body: own.map((one) => objects.own(one, !one.readers.includes(token.login))) };
}

/** Those of the installation that a token is of, by name. */
export function installedOf(
  token: StandInToken | undefined,
  repositories: readonly StandInRepository[],
  objects: GithubObjects,
): StandInReply {
  if (token?.installation === undefined)
    return refusal(403, "Resource not accessible by personal access token");
  return { status: 200, body: objects.installed(visibleTo(token, repositories)) };
}

const visibleTo = (token: StandInToken, repositories: readonly StandInRepository[]) =>
  repositories.filter(({ path }) => token.repositories === undefined || token.repositories.includes(path));

/** @returns the refusal of what should be the signature of the app; times are the stand-in's. */
export async function signatureRefusal(
  signature: string | undefined,
  app: { appId: string; publicKey: KeyObject } | undefined,
  now: number,
): Promise<StandInReply | undefined> {
  const broken = refusal(401, "A JSON web token could not be decoded");
  if (!app || !signature) return broken;
  // The far future is within jose's tolerance: the rules here are GitHub's.
  const verified = await jwtVerify(signature, app.publicKey, {
    algorithms: ["RS256"],
    clockTolerance: 1e9,
  }).catch(() => undefined);
  if (!verified || String(verified.payload.iss) !== app.appId) return broken;
  const { iat = 0, exp = 0 } = verified.payload;
  if (exp * 1000 > now + APP_SIGNATURE_MS)
    return refusal(401, "'Expiration time' claim ('exp') is too far in the future");
  if (exp * 1000 <= now)
    return refusal(
      401,
      "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
    );
  if (iat * 1000 > now)
    return refusal(
      401,
      "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
    );
  return undefined;
}
