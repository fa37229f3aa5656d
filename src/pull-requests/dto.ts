import type { PullRequestDto } from "./model.ts";
import type { PullRequestRow } from "./store.ts";

export const toPullRequestDto = (row: PullRequestRow): PullRequestDto => ({
  number: row.number,
  url: row.url,
  title: row.title,
  state: row.state,
  draft: row.draft,
  base: row.base,
  head: row.head,
  mergeable: row.mergeable,
  checks: row.checks && [...row.checks],
  reviews: row.reviews && [...row.reviews],
  created_at: row.createdAt.toISOString(),
  read_at: row.readAt.toISOString(),
});
