import { type GithubObjects, OPERATIONS } from "./objects.ts";
import { invalid, refusal, type StandInReply } from "./replies.ts";
import { addPull, commitOf, type StandInPull, type StandInRepository, type StandInToken } from "./state.ts";

export interface PullCall {
  repository: StandInRepository;
  token: StandInToken | undefined;
  parameters: Readonly<Record<string, string>>;
  query: URLSearchParams;
  // biome-ignore lint/suspicious/noExplicitAny: it has been checked against the description.
  body: any;
  objects: GithubObjects;
}

type Answer = (call: PullCall) => StandInReply;

const page = <T>(all: readonly T[], query: URLSearchParams): readonly T[] => {
  const size = Number(query.get("per_page") ?? 30);
  const first = (Number(query.get("page") ?? 1) - 1) * size;
  return all.slice(first, first + size);
};

/** Answers about one pull request. */
const of =
  (answer: (pull: StandInPull, call: PullCall) => StandInReply): Answer =>
  (call) => {
    const number = Number(call.parameters["pull_number"] ?? call.parameters["issue_number"]);
    const pull = call.repository.pulls.find((one) => one.number === number);
    return pull ? answer(pull, call) : refusal(404, "Not Found");
  };

export const PULL_ANSWERS: Readonly<Record<string, Answer>> = {
  [OPERATIONS.list]: ({ repository, query, objects }) => {
    const owner = repository.path.split("/")[0];
    const [state, head, base] = ["state", "head", "base"].map((name) => query.get(name));
    const found = repository.pulls
      .filter((one) => state === "all" || one.state === (state ?? "open"))
      .filter((one) => !head?.includes(":") || `${owner}:${one.head}` === head)
      .filter((one) => !base || one.base === base)
      .sort((one, other) => (query.get("direction") === "asc" ? 1 : -1) * (one.number - other.number));
    return { status: 200, body: page(found, query).map((one) => objects.listed(repository, one)) };
  },

  [OPERATIONS.create]: ({ repository, token, body, objects }) => {
    const { title, head, base, draft = false } = body;
    const commit = repository.branches.get(head);
    if (!repository.branches.has(base))
      return refusal(422, "Validation Failed", {
        errors: [{ resource: "PullRequest", field: "base", code: "invalid" }],
      });
    if (!commit)
      return refusal(422, "Validation Failed", {
        errors: [{ resource: "PullRequest", field: "head", code: "invalid" }],
      });
    if (repository.pulls.some((one) => one.state === "open" && one.head === head && one.base === base))
      return invalid(`A pull request already exists for ${repository.path.split("/")[0]}:${head}.`);
    if (commit === repository.branches.get(base)) return invalid(`No commits between ${base} and ${head}`);
    if (draft && !repository.drafts)
      return refusal(422, "Draft pull requests are not supported in this repository.");
    const author = token?.login ?? "ghost";
    const pull = addPull(repository, {
      title,
      body: body.body ?? null,
      head,
      base,
      draft,
      author,
      mergeable: null,
    });
    const created = objects.detailed(repository, pull);
    // It finds out a moment later.
    pull.mergeable = true;
    return { status: 201, body: created };
  },

  [OPERATIONS.read]: of((pull, { repository, objects }) => ({
    status: 200,
    body: objects.detailed(repository, pull),
  })),

  [OPERATIONS.merge]: of((pull, { repository, body }) => {
    const method = body?.merge_method ?? "merge";
    if (!repository.mergeMethods.includes(method))
      return refusal(
        405,
        `${method[0].toUpperCase()}${method.slice(1)} merges are not allowed on this repository.`,
      );
    if (pull.state === "closed" || pull.draft || pull.mergeable !== true)
      return refusal(405, "Pull Request is not mergeable");
    if (body?.sha && body.sha !== pull.commit)
      return refusal(409, "Head branch was modified. Review and try the merge again.");
    const sha = commitOf(`${repository.path} ${pull.number} ${method}`);
    repository.branches.set(pull.base, sha);
    Object.assign(pull, { state: "closed", mergedAt: "2026-11-28T12:00:00Z" });
    return { status: 200, body: { sha, merged: true, message: "Pull Request successfully merged" } };
  }),

  [OPERATIONS.checkRuns]: ({ repository, parameters, query, objects }) => {
    const runs = repository.checkRuns.filter(({ commit }) => commit === parameters["ref"]);
    return {
      status: 200,
      body: { total_count: runs.length, check_runs: page(runs, query).map(objects.checkRun) },
    };
  },

  [OPERATIONS.status]: ({ repository, parameters, query, objects }) => {
    const commit = parameters["ref"] ?? "";
    const statuses = repository.statuses.filter((one) => one.commit === commit);
    return {
      status: 200,
      body: objects.combined(repository, commit, [...page(statuses, query)], statuses.length),
    };
  },

  [OPERATIONS.reviews]: of(({ reviews }, { query, objects }) => ({
    status: 200,
    body: page(reviews.map(objects.review), query),
  })),

  [OPERATIONS.ask]: of((pull, { repository, body, objects }) => {
    const { reviewers = [], team_reviewers: teams = [] } = body ?? {};
    if (reviewers.includes(pull.author))
      return refusal(422, "Review cannot be requested from pull request author.");
    const known =
      reviewers.every((one: string) => repository.collaborators.includes(one)) &&
      teams.every((one: string) => repository.teams.includes(one));
    if (!known)
      return refusal(
        422,
        `Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the ${repository.path} repository.`,
      );
    pull.reviewers = [...new Set([...pull.reviewers, ...reviewers])];
    pull.teams = [...new Set([...pull.teams, ...teams])];
    return { status: 201, body: objects.listed(repository, pull) };
  }),

  [OPERATIONS.label]: of((pull, { body, objects }) => {
    const { labels } = body as { labels: string[] };
    if (labels.some((name) => name.length > 50))
      return refusal(422, "Validation Failed", {
        errors: [
          {
            resource: "Label",
            code: "custom",
            field: "name",
            message: "name is too long (maximum is 50 characters)",
          },
        ],
      });
    pull.labels = [...new Set([...pull.labels, ...labels])];
    return { status: 200, body: objects.labels(pull.labels) };
  }),
};
