import type { ForgeHost } from "../../config/forge-hosts.ts";
import type { ForgeRepository, Review } from "../forge.ts";
import { allPages, checkReply } from "../replies.ts";
import type { RestCall } from "../rest.ts";
import { unlessRefused, whatIsRefused } from "../rest-errors.ts";
import { LABELS, type Pull } from "./gitea-replies.ts";

const PAGE_SIZE = 50;

export interface Decoration {
  call: RestCall;
  host: ForgeHost;
  scopes: string;
  repository: ForgeRepository;
  /** Of the repository in the API. */
  path: string;
  pull: Pull;
  /** Who has reviewed it is not asked again. */
  reviews: readonly Review[];
  wanted: { labels: readonly string[]; reviewers: readonly string[] };
}

/** Adds what is missing. @returns what the host did not accept. */
export async function decorate(decoration: Decoration): Promise<readonly string[]> {
  const { pull, reviews, wanted } = decoration;
  const held = new Set(pull.labels?.map(({ name }) => name));
  const reviewing = [
    ...(pull.requested_reviewers ?? []).map(({ login }) => login),
    ...reviews.map(({ reviewer }) => reviewer),
  ];
  const asked = new Set(reviewing.map((name) => name.toLowerCase()));
  const labels = wanted.labels.filter((name) => !held.has(name));
  const reviewers = wanted.reviewers.filter((name) => !asked.has(name.toLowerCase()));
  return [
    ...(labels.length > 0 ? await addLabels(decoration, labels) : []),
    ...(await askReviewers(decoration, reviewers)),
  ];
}

/** By their ids, which every version takes: unknown names would be passed over in silence. */
async function addLabels(decoration: Decoration, names: readonly string[]): Promise<readonly string[]> {
  const { call, host, scopes, repository, path, pull } = decoration;
  const what = `label pull request ${pull.number} of ${repository.path}`;
  return whatIsRefused({ host, scopes, what }, async () => {
    const organisation = repository.path.split("/")[0] ?? "";
    const known = [
      ...(await labelsAt(decoration, `orgs/${encodeURIComponent(organisation)}/labels`)),
      ...(await labelsAt(decoration, `${path}/labels`)),
    ];
    const ids = new Map(known.map(({ name, id }) => [name, id]));
    const labels = names.flatMap((name) => ids.get(name) ?? []);
    if (labels.length > 0)
      await call({ method: "POST", path: `${path}/issues/${pull.number}/labels`, body: { labels } });
    return names
      .filter((name) => !ids.has(name))
      .map((name) => `${repository.path} has no label "${name}": create it on ${new URL(host.url).host}.`);
  });
}

/** Organisations have labels, too; users have not, and some tokens may not read them. */
const labelsAt = ({ call, host }: Decoration, path: string) =>
  allPages("labels", async (page) => {
    const reply = await call({ path, query: { page, limit: PAGE_SIZE } }).catch(
      path.startsWith("orgs/") ? unlessRefused(403, 404) : undefined,
    );
    return { entries: reply ? checkReply(LABELS, reply.body, host) : [] };
  });

/** One by one: who cannot be asked must not keep the others from being asked. */
async function askReviewers(
  { call, host, scopes, repository, path, pull }: Decoration,
  reviewers: readonly string[],
): Promise<readonly string[]> {
  const refused: string[] = [];
  for (const reviewer of reviewers) {
    const what = `ask ${reviewer} to review pull request ${pull.number} of ${repository.path}`;
    const ask = async () => {
      const body = { reviewers: [reviewer] };
      await call({ method: "POST", path: `${path}/pulls/${pull.number}/requested_reviewers`, body });
      return [];
    };
    refused.push(...(await whatIsRefused({ host, scopes, what }, ask)));
  }
  return refused;
}
