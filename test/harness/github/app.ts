import { type GithubObjects, OPERATIONS } from "./objects.ts";
import { refusal, type StandInReply } from "./replies.ts";
import type { StandInInstallation, StandInRepository, StandInToken } from "./state.ts";

export interface AppCall {
  parameters: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: it has been checked against the description.
  body: any;
  objects: GithubObjects;
  repositories: readonly StandInRepository[];
  installations: readonly StandInInstallation[];
  /** Milliseconds since the epoch. */
  now: number;
  keep(token: StandInToken): void;
}

const LIFE_MS = 3_600_000;
const LEVELS = ["read", "write", "admin"];

/** What an app asks as itself. */
export const APP_ANSWERS: Readonly<Record<string, (call: AppCall) => StandInReply>> = {
  [OPERATIONS.installation]: ({ parameters, installations, objects }) => {
    const path = `${parameters["owner"]}/${parameters["repo"]}`;
    const found = installations.find(({ repositories }) => repositories.includes(path));
    return found ? { status: 200, body: objects.installation(found) } : refusal(404, "Not Found");
  },

  [OPERATIONS.installations]: ({ installations, objects }) => ({
    status: 200,
    body: installations.map(objects.anyInstallation),
  }),

  [OPERATIONS.app]: ({ installations, objects }) => ({ status: 200, body: objects.app(installations) }),

  [OPERATIONS.mint]: ({ parameters, body, installations, repositories, objects, now, keep }) => {
    const found = installations.find(({ id }) => id === Number(parameters["installation_id"]));
    if (!found) return refusal(404, "Not Found");
    if (found.suspended) return refusal(403, "This installation has been suspended");
    const names: readonly string[] | undefined = body?.repositories;
    const chosen = repositories.filter(
      ({ path }) =>
        found.repositories.includes(path) &&
        (names === undefined || names.includes(path.split("/")[1] ?? "")),
    );
    if (names && (names.length === 0 || chosen.length !== names.length))
      return refusal(
        422,
        "There is at least one repository that does not exist or is not accessible to the parent installation.",
      );
    const permissions: Readonly<Record<string, string>> = { metadata: "read", ...body?.permissions };
    const beyond = Object.entries(permissions).some(
      ([name, level]) => LEVELS.indexOf(found.permissions[name] ?? "") < LEVELS.indexOf(level),
    );
    if (beyond) return refusal(422, "The permissions requested are not granted to this installation.");
    const token: StandInToken = {
      value: `ghs_${crypto.randomUUID().replaceAll("-", "")}`,
      login: "app[bot]",
      repositories: chosen.map(({ path }) => path),
      permissions,
      expiresAt: now + LIFE_MS,
      installation: found.id,
    };
    keep(token);
    return { status: 201, body: objects.minted(token, chosen) };
  },
};
