import {
  commit,
  type ForgeStandIn,
  pageOf,
  type StandInReply,
  type StandInRequest,
  startForgeStandIn,
} from "./forge-stand-in.ts";
import { GITLAB_DESCRIPTION, GITLAB_OPERATIONS, REFUSAL } from "./gitlab-description.ts";
import { openApiCheck } from "./openapi-check.ts";

export interface GitlabMerge {
  iid: number;
  title: string;
  description: string;
  head: string;
  base: string;
  /** Project of its head; 1 is this one, others are forks. */
  headProject: number;
  state: "opened" | "closed" | "locked" | "merged";
  /** detailed_merge_status of one that is open. */
  status: string;
  mergeCommit: string | null;
  squashCommit: string | null;
  labels: string[];
  reviewers: { username: string; state: string }[];
  approvals: { username: string; at: string }[];
  /** Undefined: the token may not read it. */
  pipeline: { id: number; status: string } | null | undefined;
}

export interface GitlabStatus {
  id: number;
  name: string;
  status: string;
  target_url: string | null;
  allow_failure: boolean;
  pipeline_id: number | null;
}

export interface GitlabProject {
  path: string;
  defaultBranch: string | null;
  role: number;
  archived: boolean;
  at: string;
}

export interface GitlabStandIn extends ForgeStandIn {
  readonly merges: GitlabMerge[];
  /** Branch → commit at its head. */
  readonly branches: Map<string, string>;
  readonly statuses: Map<string, GitlabStatus[]>;
  /** Of which its user is a member, with their role there. */
  readonly projects: GitlabProject[];
  /** Of its token. */
  readonly scopes: string[];
  addMerge(merge: Partial<GitlabMerge>): GitlabMerge;
  addStatus(status: Partial<GitlabStatus>): void;
}

interface Changes {
  add_labels?: string[];
  reviewer_ids?: number[];
}

const USERS = ["ann", "ben"];
/** Public, of a group that the token's user is not in. */
const STRANGERS: GitlabProject = {
  ...{ path: "others/public", defaultBranch: "main", role: 50, archived: false },
  at: "2026-11-28T12:00:00Z",
};
const TIME = "2026-11-28T12:00:00.000+01:00";

/** One project, group/sub.group/project, of GitLab's free tier as it is documented: one reviewer, labels made at will. */
export function startGitlabStandIn({ token }: { token: string }): GitlabStandIn {
  const check = openApiCheck({
    description: GITLAB_DESCRIPTION,
    operations: GITLAB_OPERATIONS,
    anywhere: { statuses: [401, 403, 404, 429], schema: REFUSAL },
  });
  const merges: GitlabMerge[] = [];
  const statuses: GitlabStandIn["statuses"] = new Map();
  const projects: GitlabProject[] = [];
  const scopes = ["api"];
  const branches = new Map([
    ["main", commit(1)],
    ["feature/ä b", commit(2)],
  ]);

  const addMerge = (given: Partial<GitlabMerge>): GitlabMerge => {
    const merge: GitlabMerge = {
      ...{ iid: merges.length + 1, title: "A title", description: "", head: "feature/ä b", base: "main" },
      ...{ headProject: 1, state: "opened", status: "mergeable", mergeCommit: null, squashCommit: null },
      ...{ labels: [], reviewers: [], approvals: [], pipeline: null },
      ...given,
    };
    merges.push(merge);
    return merge;
  };
  const addStatus = (given: Partial<GitlabStatus>) => {
    const held = statuses.get(commit(2)) ?? [];
    const status = { id: held.length + 1, name: "test", status: "success", target_url: null };
    statuses.set(commit(2), [...held, { ...status, allow_failure: false, pipeline_id: 70, ...given }]);
  };

  const answer = ({ method, path, query, body, authorization }: StandInRequest): StandInReply => {
    if (authorization !== `Bearer ${token}`) return refusal(401, "401 Unauthorized");
    if (path === "/personal_access_tokens/self") return { status: 200, body: tokenOf(scopes) };
    if (path === "/user")
      return scopes.some((one) => /^(api|read_api|read_user)$/.test(one))
        ? { status: 200, body: userOf("ann") }
        : insufficientScope(scopes);
    if (path === "/projects") return { status: 200, body: projectsOf(query) };
    if (path === "/users") {
      // Names are the same in any case.
      const found = USERS.filter((name) => name === query.get("username")?.toLowerCase());
      return { status: 200, body: found.map(userOf) };
    }
    const [, project, rest = ""] = /^\/projects\/([^/]+)\/(.*)$/.exec(path) ?? [];
    if (project !== encodeURIComponent("group/sub.group/project"))
      return refusal(404, "404 Project Not Found");
    const [kind, iid, what = ""] = rest.split("/").map(decodeURIComponent);
    if (kind === "repository") return { status: 200, body: statusesOf(rest.split("/")[2] ?? "", query) };
    if (iid === undefined)
      return method === "POST" ? create(body as Record<string, string>) : { status: 200, body: list(query) };
    const merge = merges.find((one) => one.iid === Number(iid));
    if (!merge) return refusal(404, "404 Not found");
    switch (`${method} ${what}`) {
      case "PUT ":
        return edit(merge, body as Changes);
      case "PUT merge":
        return accept(merge, body as { sha: string; squash: boolean });
      case "GET reviewers":
        return { status: 200, body: merge.reviewers.map(reviewerOf) };
      case "GET approvals":
        return { status: 200, body: approvalsOf(merge) };
      default:
        return { status: 200, body: shown(merge) };
    }
  };
  const server = startForgeStandIn({ base: "/api/v4", check, answer });
  return { ...server, merges, branches, statuses, projects, scopes, addMerge, addStatus };

  /** Without `membership` there are those of everybody, of which here is one. */
  function projectsOf(query: URLSearchParams) {
    const all = query.get("membership") === "true" ? projects : [...projects, STRANGERS];
    const found = all
      .filter(({ role }) => role >= Number(query.get("min_access_level") ?? 0))
      .filter(({ archived }) => query.get("archived") !== "false" || !archived)
      .toSorted((one, other) => other.at.localeCompare(one.at));
    return pageOf(found, query).map((one, index) => projectOf(one, index + 1));
  }

  function list(query: URLSearchParams) {
    const state = query.get("state") ?? "all";
    const found = merges.filter(
      (one) =>
        one.head === query.get("source_branch") &&
        one.base === query.get("target_branch") &&
        (state === "all" || one.state === state),
    );
    return pageOf(found.reverse(), query).map(listed);
  }

  function create(wanted: Record<string, string>): StandInReply {
    const { source_branch: head = "", target_branch: base = "", title = "", description = "" } = wanted;
    const existing = merges.find(
      (one) => one.state === "opened" && one.headProject === 1 && one.head === head && one.base === base,
    );
    if (existing)
      return refusal(409, [
        `Another open merge request already exists for this source branch: !${existing.iid}`,
      ]);
    if (!branches.has(head)) return refusal(400, { source_branch: ["does not exist"] });
    return { status: 201, body: shown(addMerge({ head, base, title, description })) };
  }

  function edit(merge: GitlabMerge, wanted: Changes): StandInReply {
    merge.labels.push(
      ...(wanted.add_labels ?? []).flatMap((name) => name.split(",").map((one) => one.trim())),
    );
    if (wanted.reviewer_ids)
      merge.reviewers = wanted.reviewer_ids
        .map((id) => USERS[id - 1] ?? "")
        .slice(0, 1)
        .map((username) => ({ username, state: "unreviewed" }));
    return { status: 200, body: shown(merge) };
  }

  function accept(merge: GitlabMerge, { sha, squash }: { sha: string; squash: boolean }): StandInReply {
    if (merge.state !== "opened" || !["mergeable", "conflict"].includes(merge.status))
      return refusal(405, "405 Method Not Allowed");
    if (merge.status === "conflict") return refusal(422, "Branch cannot be merged");
    if (sha !== branches.get(merge.head))
      return refusal(409, `SHA does not match HEAD of source branch: ${branches.get(merge.head)}`);
    merge.state = "merged";
    merge.mergeCommit = commit(100 + merge.iid);
    if (squash) merge.squashCommit = commit(200 + merge.iid);
    return { status: 200, body: shown(merge) };
  }

  function statusesOf(sha: string, query: URLSearchParams) {
    const given = statuses.get(sha) ?? [];
    return pageOf(given, query).map((one) => ({
      ...one,
      ...{ sha, ref: "feature/ä b", description: null, created_at: TIME },
    }));
  }

  function headOf({ head }: GitlabMerge) {
    return branches.get(head) ?? commit(2);
  }

  function listed(merge: GitlabMerge) {
    const { iid, title, description, state, labels } = merge;
    return {
      ...{ id: 1000 + iid, iid, project_id: 1, title, description, state, labels },
      ...{ created_at: TIME, updated_at: TIME, merged_at: state === "merged" ? TIME : null },
      ...{ source_branch: merge.head, target_branch: merge.base },
      ...{ source_project_id: merge.headProject, target_project_id: 1 },
      ...{ author: userOf("ann"), reviewers: merge.reviewers.map(({ username }) => userOf(username)) },
      ...{ draft: /^Draft:/i.test(title), squash: false },
      web_url: `${server.url}/group/sub.group/project/-/merge_requests/${iid}`,
      detailed_merge_status: state === "opened" ? merge.status : "not_open",
      ...{ merge_commit_sha: merge.mergeCommit, squash_commit_sha: merge.squashCommit },
      sha: headOf(merge),
    };
  }

  /** A single one has its pipeline, those of a list do not. */
  function shown(merge: GitlabMerge) {
    const { pipeline } = merge;
    return {
      ...listed(merge),
      ...(pipeline !== undefined && {
        head_pipeline: pipeline && {
          ...{ ...pipeline, iid: 1, project_id: 1, sha: headOf(merge), ref: merge.head },
          web_url: `${server.url}/group/sub.group/project/-/pipelines/${pipeline.id}`,
        },
      }),
    };
  }
}

const userOf = (username: string) => ({
  ...{ id: USERS.indexOf(username) + 1 || 99, username, name: username, state: "active" },
  web_url: `http://gitlab.test/${username}`,
});
const reviewerOf = ({ username, state }: { username: string; state: string }) => ({
  ...{ user: userOf(username), state, created_at: TIME },
});
const approvalsOf = ({ approvals }: GitlabMerge) => ({
  ...{ user_has_approved: false, user_can_approve: true, approved: approvals.length > 0 },
  approved_by: approvals.map(({ username, at }) => ({ user: userOf(username), approved_at: at })),
});
const projectOf = ({ path, defaultBranch, at }: GitlabProject, id: number) => ({
  ...{ id, description: null, name: path, path: path.split("/").at(-1), path_with_namespace: path },
  ...{ created_at: at, last_activity_at: at, default_branch: defaultBranch },
  web_url: `http://gitlab.test/${path}`,
});
const tokenOf = (scopes: readonly string[]) => ({
  ...{ id: 1, name: "prompt-backend", revoked: false, created_at: TIME, scopes, user_id: 1 },
  ...{ last_used_at: TIME, active: true, expires_at: "2027-11-28" },
});
const insufficientScope = (scopes: readonly string[]): StandInReply => ({
  status: 403,
  body: {
    error: "insufficient_scope",
    error_description: "The request requires higher privileges than provided by the access token.",
    scope: scopes.join(" "),
  },
});
const refusal = (status: number, message: unknown): StandInReply => ({ status, body: { message } });
