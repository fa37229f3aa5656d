import { Type as t } from "@sinclair/typebox";
import { ForgeError, type ForgeRepository } from "../forge.ts";
import type { GithubCall } from "./github-call.ts";
import { reviewsOf } from "./pull-state.ts";
import type { PullDetail, PullReview } from "./replies.ts";

/**
 * Adds what a pull request lacks of these labels, and asks those reviewers who have neither been asked nor reviewed it.
 * @returns what GitHub did not accept, as sentences. @throws ForgeError
 */
export async function decorate(
  call: GithubCall,
  found: { pull: PullDetail; reviews: readonly PullReview[]; repository: ForgeRepository },
  wanted: { labels: readonly string[]; reviewers: readonly string[] },
): Promise<readonly string[]> {
  const { number, labels } = found.pull;
  const held = labels.map(({ name }) => name.toLowerCase());
  const missing = wanted.labels.filter((name) => !held.includes(name.toLowerCase()));
  const { ask, refused } = reviewersToAsk(found, wanted.reviewers);
  return [
    ...(await addEach(missing, (names) =>
      call.ask(`label pull request ${number} with ${names.join(", ")}`, t.Array(t.Unknown()), (octokit) =>
        octokit.request("POST /repos/{owner}/{repo}/issues/{issue_number}/labels", {
          ...call.at,
          issue_number: number,
          labels: [...names],
        }),
      ),
    )),
    ...refused,
    ...(await addEach(ask, (names) =>
      call.ask(`ask ${names.join(", ")} to review pull request ${number}`, t.Object({}), (octokit) =>
        octokit.request("POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", {
          ...call.at,
          pull_number: number,
          reviewers: names.filter((name) => !name.includes("/")),
          team_reviewers: names.flatMap((name) => name.split("/").slice(1)),
        }),
      ),
    )),
  ];
}

/** Who has neither been asked nor reviewed it. Teams are written as owner/team. */
function reviewersToAsk(
  { pull, reviews, repository }: Parameters<typeof decorate>[1],
  wanted: readonly string[],
): { ask: readonly string[]; refused: readonly string[] } {
  const owner = repository.path.split("/")[0]?.toLowerCase();
  const author = pull.user?.login.toLowerCase();
  const known = reviewsOf(pull, reviews, repository).map(({ reviewer }) => reviewer.toLowerCase());
  const ask: string[] = [];
  const refused: string[] = [];
  for (const name of wanted) {
    const [team] = name.toLowerCase().split("/");
    if (name.toLowerCase() === author)
      refused.push(`${name} has opened pull request ${pull.number} and cannot be asked to review it.`);
    // GitHub is told the team's name alone, and would take the repository's owner's team of that name.
    else if (name.includes("/") && team !== owner)
      refused.push(`${name} is a team of another owner and cannot be asked to review ${repository.path}.`);
    else if (!known.includes(name.toLowerCase())) ask.push(name);
  }
  return { ask, refused };
}

/** All at once; one by one if that is refused, because GitHub adds none of them for one that it does not accept. */
async function addEach(
  names: readonly string[],
  add: (names: readonly string[]) => Promise<unknown>,
): Promise<readonly string[]> {
  if (names.length === 0) return [];
  try {
    await add(names);
    return [];
  } catch (error) {
    if (!(error instanceof ForgeError) || !["forbidden", "missing", "invalid"].includes(error.fault))
      throw error;
    if (names.length === 1) return [error.message];
    const refused: string[] = [];
    for (const name of names) refused.push(...(await addEach([name], add)));
    return refused;
  }
}
