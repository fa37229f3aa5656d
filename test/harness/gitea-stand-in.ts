import {
  commit,
  type ForgeStandIn,
  pageOf,
  type StandInReply,
  type StandInRequest,
  startForgeStandIn,
} from "./forge-stand-in.ts";
import { giteaDescription } from "./gitea-description.ts";
import { openApiCheck } from "./openapi-check.ts";

const OPERATIONS = [
  "get /orgs/{org}/labels",
  "get /repos/{owner}/{repo}/labels",
  "get /repos/{owner}/{repo}/commits/{ref}/status",
  "get /repos/{owner}/{repo}/pulls",
  "post /repos/{owner}/{repo}/pulls",
  "get /repos/{owner}/{repo}/pulls/{index}/reviews",
  "post /repos/{owner}/{repo}/pulls/{index}/requested_reviewers",
  "post /repos/{owner}/{repo}/pulls/{index}/merge",
  "post /repos/{owner}/{repo}/issues/{index}/labels",
  "get /repos/{owner}/{repo}/pulls/{base}/{head}",
  "get /repos/{owner}/{repo}/pulls/{index}",
  "get /user",
  "get /user/repos",
];
/** Entries in a page, whatever is asked for. */
const LIMIT = 30;
/** What any request may be refused with, although no operation lists it. */
const REFUSAL = { type: "object", properties: { message: { type: "string" } }, required: ["message"] };

export interface GiteaPull {
  number: number;
  title: string;
  body: string;
  head: string;
  base: string;
  /** Repository of its head; 1 is this one, others are forks. */
  headRepo: number;
  state: "open" | "closed";
  merged: string | null;
  createdAt: string;
  labels: string[];
  asked: string[];
  reviews: { user: string; state: string; dismissed?: boolean; at: string }[];
  /** What keeps it from being merged, in Gitea's words. */
  obstacle?: string;
}

export interface GiteaRepository {
  path: string;
  defaultBranch: string;
  push: boolean;
  archived: boolean;
  at: string;
}

export interface GiteaStandIn extends ForgeStandIn {
  readonly pulls: GiteaPull[];
  /** Branch → commit at its head. */
  readonly branches: Map<string, string>;
  readonly statuses: Map<string, { context: string; status: string; target_url: string }[]>;
  readonly merges: unknown[];
  /** Of its user. */
  readonly repositories: GiteaRepository[];
  /** Why the description is missing. */
  readonly unchecked: string | undefined;
  addPull(pull: Partial<GiteaPull>): GiteaPull;
}

/** One repository, owner/project, of Gitea as it is documented; `owner` is an organisation. */
export async function startGiteaStandIn({ token }: { token: string }): Promise<GiteaStandIn> {
  const description = await giteaDescription();
  const missing = "missing" in description ? String(description["missing"]) : undefined;
  const check = missing
    ? undefined
    : openApiCheck({
        description,
        operations: OPERATIONS,
        anywhere: { statuses: [401, 403, 429], schema: REFUSAL },
      });
  const pulls: GiteaPull[] = [];
  const branches = new Map([
    ["main", commit(1)],
    ["feature/ä b", commit(2)],
  ]);
  const statuses: GiteaStandIn["statuses"] = new Map();
  const merges: unknown[] = [];
  const repositories: GiteaRepository[] = [];
  const labels = [label(11, "agent"), label(12, "bug")];
  const users = ["ann", "ben"];

  const addPull = (given: Partial<GiteaPull>): GiteaPull => {
    const pull: GiteaPull = {
      ...{ number: pulls.length + 1, title: "A title", body: "", head: "feature/ä b", base: "main" },
      ...{ headRepo: 1, state: "open", merged: null, createdAt: "2026-11-28T12:00:00+01:00" },
      ...{ labels: [], asked: [], reviews: [] },
      ...given,
    };
    pulls.push(pull);
    return pull;
  };
  const open = (head: string, base: string) =>
    pulls.find((one) => one.state === "open" && one.headRepo === 1 && one.head === head && one.base === base);

  const answer = (request: StandInRequest): StandInReply => {
    const { method, path, query, body } = request;
    if (request.authorization !== `token ${token}`)
      return refusal(401, "user does not exist [uid: 0, name: ]");
    if (path === "/user") return { status: 200, body: user("robot") };
    if (path === "/user/repos") return page(repositories.map(repositoryOf), query);
    if (path === "/orgs/owner/labels") return page([label(21, "from-org")], query);
    const [, rest] = /^\/repos\/owner\/project(\/.*)$/.exec(path) ?? [];
    if (rest === undefined) return refusal(404, "The target couldn't be found.");
    const parts = rest.split("/").slice(1).map(decodeURIComponent);
    const pull = pulls.find(({ number }) => number === Number(parts[1]));
    switch (`${method} /${[parts[0], ...parts.slice(2)].join("/")}`) {
      case "GET /labels":
        return page(labels, query);
      case "GET /commits/status": {
        const given = statuses.get(parts[1] ?? "") ?? [];
        return { status: 200, body: combined(parts[1] ?? "", given, query) };
      }
      case "GET /pulls":
        if (parts.length === 1) {
          const wanted = pulls.filter(({ state }) => state === query.get("state")).reverse();
          return page(wanted.map(shown), query);
        }
        return pull ? { status: 200, body: shown(pull) } : refusal(404, "The target couldn't be found.");
      case "POST /pulls":
        return create(body as Record<string, string>);
      case "GET /pulls/reviews":
        return page((pull?.reviews ?? []).map(review), query);
      case "POST /pulls/requested_reviewers":
        return ask(pull, (body as { reviewers: string[] }).reviewers);
      case "POST /issues/labels": {
        const added = [...labels, label(21, "from-org")].filter(({ id }) =>
          (body as { labels: number[] }).labels.includes(id),
        );
        pull?.labels.push(...added.map(({ name }) => name));
        return { status: 200, body: added };
      }
      case "POST /pulls/merge":
        return merge(pull, body as { do: string; head_commit_id: string });
      default: {
        const found =
          parts[0] === "pulls" && method === "GET" && open(parts.slice(2).join("/"), parts[1] ?? "");
        return found ? { status: 200, body: shown(found) } : refusal(404, "The target couldn't be found.");
      }
    }
  };
  const server = startForgeStandIn({ base: "/api/v1", check, answer });
  return { ...server, pulls, branches, statuses, merges, repositories, unchecked: missing, addPull };

  function create({ title = "", body = "", head = "", base = "" }: Record<string, string>): StandInReply {
    const existing = open(head, base);
    if (existing)
      return refusal(
        409,
        `pull request already exists for these targets [id: ${existing.number}, issue_id: ${existing.number}]`,
      );
    if (!branches.has(head) || !branches.has(base)) return refusal(404, "The target couldn't be found.");
    return { status: 201, body: shown(addPull({ title, body, head, base })) };
  }

  function ask(pull: GiteaPull | undefined, names: readonly string[]): StandInReply {
    const unknown = names.find((name) => !users.includes(name));
    if (!pull || unknown) return refusal(404, `user doesn't exist: ${unknown}`);
    pull.asked.push(...names);
    const reviews = names.map((user) =>
      review({ user, state: "REQUEST_REVIEW", at: "2026-11-28T12:00:00Z" }, 0),
    );
    return { status: 201, body: reviews };
  }

  function merge(pull: GiteaPull | undefined, wanted: { do: string; head_commit_id: string }): StandInReply {
    if (pull?.state !== "open") return refusal(404, "The target couldn't be found.");
    if (pull.obstacle) return refusal(405, pull.obstacle);
    if (wanted.head_commit_id !== branches.get(pull.head)) return refusal(409, "head out of date");
    merges.push(wanted);
    pull.state = "closed";
    pull.merged = commit(100 + pull.number);
    return { status: 200 };
  }

  function shown(pull: GiteaPull) {
    const sha = branches.get(pull.head);
    const ref = sha ? pull.head : `refs/pull/${pull.number}/head`;
    const { number, title, body, state, merged, createdAt } = pull;
    return {
      ...{ id: number, number, title, body, state, created_at: createdAt, updated_at: createdAt },
      html_url: `${server.url}/owner/project/pulls/${number}`,
      draft: /^WIP:/i.test(title),
      merged: merged !== null,
      mergeable: state === "open" && !pull.obstacle,
      labels: pull.labels.map((name) => [...labels, label(21, "from-org")].find((one) => one.name === name)),
      requested_reviewers: pull.asked.map(user),
      head: { label: pull.head, ref, sha: sha ?? "", repo_id: pull.headRepo },
      base: { label: pull.base, ref: pull.base, sha: branches.get(pull.base) ?? "", repo_id: 1 },
      ...(merged && { merge_commit_sha: merged, merged_at: createdAt }),
    };
  }
}

const label = (id: number, name: string) => ({
  id,
  name,
  color: "00aabb",
  description: "",
  url: "http://gitea.test/",
});
const user = (login: string) => ({ id: login.length, login, full_name: "" });
const repositoryOf = ({ path, defaultBranch, push, archived, at }: GiteaRepository, index: number) => ({
  ...{ id: index + 1, name: path.split("/")[1], full_name: path, owner: user(path.split("/")[0] ?? "") },
  ...{
    default_branch: defaultBranch,
    archived,
    updated_at: at,
    permissions: { admin: false, push, pull: true },
  },
});
const refusal = (status: number, message: string): StandInReply => ({
  status,
  body: { message, url: "http://gitea.test/api/swagger" },
});

const review = (
  { user: login, state, dismissed = false, at }: GiteaPull["reviews"][number],
  index: number,
) => ({
  ...{ id: index + 1, user: user(login), state, dismissed, submitted_at: at, body: "", official: true },
});

function combined(
  sha: string,
  given: readonly { context: string; status: string; target_url: string }[],
  query: URLSearchParams,
) {
  const entries = pageOf(given, query, LIMIT).map((one, index) => ({
    id: index + 1,
    ...one,
    created_at: "2026-11-28T12:00:00Z",
  }));
  return { state: "pending", sha, total_count: given.length, statuses: entries };
}

const page = (all: readonly unknown[], query: URLSearchParams): StandInReply => ({
  status: 200,
  body: pageOf(all, query, LIMIT),
  headers: { "x-total-count": String(all.length) },
});
