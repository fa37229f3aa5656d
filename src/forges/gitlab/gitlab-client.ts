import type {
  Commits,
  MergeRequestApprovals,
  MergeRequests,
  PersonalAccessTokens,
  Projects,
  Users,
} from "@gitbeaker/rest";
import type { RestCall } from "../rest.ts";

export interface GitlabClient {
  mergeRequests: MergeRequests;
  approvals: MergeRequestApprovals;
  commits: Commits;
  tokens: PersonalAccessTokens;
  projects: Projects;
  users: Users;
}

type Requester = NonNullable<NonNullable<ConstructorParameters<typeof MergeRequests>[0]>["requesterFn"]>;
type Options = { searchParams?: Record<string, unknown>; body?: unknown };

/**
 * Gitbeaker's resources, with requests of our own: its requester follows redirects to other hosts with the token, reads
 * replies of any size, and repeats at once what was refused because there were too many. It is loaded at the first use:
 * it takes longer than the rest of a start.
 */
export async function openGitlabClient(call: RestCall): Promise<GitlabClient> {
  const { Commits, MergeRequestApprovals, MergeRequests, PersonalAccessTokens, Projects, Users } =
    await import("@gitbeaker/rest");
  const send =
    (method: "GET" | "POST" | "PUT") =>
    async (path: string, { searchParams, body }: Options = {}) => {
      const reply = await call({
        method,
        path,
        query: snakeCased(searchParams),
        ...(body ? { body: snakeCased(body) } : {}),
      });
      // Without headers: its own paging follows what they say. The caller checks the body.
      return { status: 200, headers: {}, body: reply.body };
    };
  const requesterFn = (() => ({
    get: send("GET"),
    post: send("POST"),
    put: send("PUT"),
  })) as unknown as Requester;
  const options = { requesterFn };
  return {
    mergeRequests: new MergeRequests(options),
    approvals: new MergeRequestApprovals(options),
    commits: new Commits(options),
    tokens: new PersonalAccessTokens(options),
    projects: new Projects(options),
    users: new Users(options),
  };
}

/** As GitLab names its parameters. */
const snakeCased = (values: object = {}) =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  );
