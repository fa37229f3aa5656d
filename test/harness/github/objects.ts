import type { OpenApiCheck } from "../openapi-check.ts";
import type { Json } from "../openapi-schemas.ts";
import type { StandInInstallation, StandInPull, StandInRepository, StandInToken } from "./state.ts";

export const OPERATIONS = {
  list: "get /repos/{owner}/{repo}/pulls",
  create: "post /repos/{owner}/{repo}/pulls",
  read: "get /repos/{owner}/{repo}/pulls/{pull_number}",
  merge: "put /repos/{owner}/{repo}/pulls/{pull_number}/merge",
  checkRuns: "get /repos/{owner}/{repo}/commits/{ref}/check-runs",
  status: "get /repos/{owner}/{repo}/commits/{ref}/status",
  reviews: "get /repos/{owner}/{repo}/pulls/{pull_number}/reviews",
  ask: "post /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
  label: "post /repos/{owner}/{repo}/issues/{issue_number}/labels",
  installation: "get /repos/{owner}/{repo}/installation",
  app: "get /app",
  user: "get /user",
  installations: "get /app/installations",
  installed: "get /installation/repositories",
  repositories: "get /user/repos",
  mint: "post /app/installations/{installation_id}/access_tokens",
} as const;

/**
 * GitHub's objects: the examples of its own description, in which what the stand-in knows is replaced. They have all of the
 * fields that a client could come to rely on.
 */
export function githubObjects({ exampleOf }: OpenApiCheck, url: string) {
  const [listed] = exampleOf(OPERATIONS.list, 200) as [Json];
  const detailed = exampleOf(OPERATIONS.read, 200) as Json;
  const [label] = exampleOf(OPERATIONS.label, 200) as [Json];
  const [review] = exampleOf(OPERATIONS.reviews, 200) as [Json];
  const checkRuns = exampleOf(OPERATIONS.checkRuns, 200) as { check_runs: [Json] };
  const combined = exampleOf(OPERATIONS.status, 200) as Json & { statuses: [Json] };
  const installed = exampleOf(OPERATIONS.installation, 200) as Json;
  const [anyInstalled] = exampleOf(OPERATIONS.installations, 200) as [Json];
  const asked = exampleOf(OPERATIONS.user, 200) as Json;
  const [own] = exampleOf(OPERATIONS.repositories, 200) as [Json];
  const reachable = exampleOf(OPERATIONS.installed, 200) as { repositories: [Json] };
  const app = exampleOf(OPERATIONS.app, 200) as Json;
  const token = exampleOf(OPERATIONS.mint, 201) as Json & { repositories: [Json] };

  const user = (login: string): Json => ({ ...(listed["user"] as Json), login });
  const repository = ({ id, path, private: hidden }: StandInRepository, example: unknown): Json => {
    const [owner = "", name = ""] = path.split("/");
    return { ...(example as Json), id, name, full_name: path, private: hidden, owner: user(owner) };
  };
  const labels = (names: readonly string[]) =>
    names.map((name, index) => ({ ...label, id: index + 1, name }));
  const teams = (slugs: readonly string[]) =>
    slugs.map((slug, index) => ({
      ...(listed["requested_teams"] as [Json])[0],
      id: index + 1,
      slug,
      name: slug,
      // The example lacks it, and the schema demands it.
      type: "organization",
    }));

  const pull = (example: Json, of: StandInRepository, one: StandInPull): Json => {
    const branch = (side: "head" | "base", ref: string, sha: string) => {
      const shown = example[side] as Json;
      return {
        ...shown,
        label: `${of.path.split("/")[0]}:${ref}`,
        ref,
        sha,
        repo: repository(of, shown["repo"]),
      };
    };
    return {
      ...example,
      number: one.number,
      html_url: `${url}/${of.path}/pull/${one.number}`,
      state: one.state,
      title: one.title,
      body: one.body,
      user: user(one.author),
      draft: one.draft,
      merged_at: one.mergedAt,
      closed_at: one.state === "closed" ? (one.mergedAt ?? "2026-11-28T12:00:00Z") : null,
      labels: labels(one.labels),
      requested_reviewers: one.reviewers.map(user),
      requested_teams: teams(one.teams),
      head: branch("head", one.head, one.commit),
      base: branch("base", one.base, of.branches.get(one.base) ?? one.commit),
    };
  };

  const installation = ({ id, permissions, suspended }: StandInInstallation, example: Json) => ({
    ...example,
    id,
    permissions,
    suspended_at: suspended ? "2026-11-28T10:00:00Z" : null,
  });
  const shown = (of: StandInRepository, example: Json, push: boolean) => ({
    ...repository(of, example),
    default_branch: of.defaultBranch,
    archived: of.archived,
    pushed_at: of.pushedAt,
    permissions: { admin: false, push, pull: true },
  });

  return {
    labels,
    own: (of: StandInRepository, push: boolean) => shown(of, own, push),
    installed: (all: readonly StandInRepository[]) => ({
      total_count: all.length,
      repositories: all.map((of) => shown(of, reachable.repositories[0], true)),
    }),
    listed: (of: StandInRepository, one: StandInPull) => pull(listed, of, one),
    detailed: (of: StandInRepository, one: StandInPull) => ({
      ...pull(detailed, of, one),
      merged: one.mergedAt !== null,
      mergeable: one.mergeable,
    }),
    review: (one: StandInPull["reviews"][number], index: number) => ({
      ...review,
      id: index + 1,
      user: one.user === null ? null : user(one.user),
      state: one.state,
      submitted_at: one.at ?? `2026-11-28T10:00:${String(index % 60).padStart(2, "0")}Z`,
    }),
    checkRun: (one: StandInRepository["checkRuns"][number], index: number) => ({
      ...checkRuns.check_runs[0],
      id: index + 1,
      head_sha: one.commit,
      name: one.name,
      status: one.status,
      conclusion: one.conclusion,
      html_url: one.url,
    }),
    combined: (
      of: StandInRepository,
      sha: string,
      statuses: StandInRepository["statuses"],
      total: number,
    ) => ({
      ...combined,
      sha,
      total_count: total,
      repository: repository(of, combined["repository"]),
      statuses: statuses.map(({ context, state, url: target_url }, index) => ({
        ...combined.statuses[0],
        id: index + 1,
        context,
        state,
        target_url,
      })),
    }),
    installation: (one: StandInInstallation) => installation(one, installed),
    anyInstallation: (one: StandInInstallation) => ({
      ...installation(one, anyInstalled),
      // GitHub's description of this list demands the fields of a user and of an enterprise at once.
      account: { ...user("acme"), ...{ name: "acme", slug: "acme", created_at: null, updated_at: null } },
    }),
    self: (login: string) => ({ ...asked, login }),
    app: (installations: readonly StandInInstallation[]) => ({
      ...app,
      permissions: installations[0]?.permissions ?? {},
      installations_count: installations.length,
    }),
    minted: (
      { value, permissions, expiresAt }: StandInToken,
      repositories: readonly StandInRepository[],
    ) => ({
      ...token,
      token: value,
      permissions,
      expires_at: new Date(expiresAt).toISOString(),
      repository_selection: "selected",
      repositories: repositories.map((one) => repository(one, token.repositories[0])),
    }),
  };
}
export type GithubObjects = ReturnType<typeof githubObjects>;
