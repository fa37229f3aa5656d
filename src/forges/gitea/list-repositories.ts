import type { ForgeHost } from "../../config/forge-hosts.ts";
import type { ListedRepository } from "../forge.ts";
import { checkReply } from "../replies.ts";
import type { RestCall } from "../rest.ts";
import { REPOSITORIES, type Repository } from "./gitea-replies.ts";

/** Of Gitea's usual largest size. */
const PAGE = 50;
/** The host sorts them by name, so that those in use may be on any. */
const PAGES = 2;

/** @throws RestRefusal; ForgeError */
export async function listRepositories(
  call: RestCall,
  host: ForgeHost,
): Promise<readonly ListedRepository[]> {
  const all: Repository[] = [];
  for (let page = 1; page <= PAGES; page += 1) {
    const { body, headers } = await call({ path: "user/repos", query: { page, limit: PAGE } });
    const entries = checkReply(REPOSITORIES, body, host);
    all.push(...entries);
    if (
      entries.length === 0 ||
      all.length >= Number(headers.get("x-total-count") ?? Number.POSITIVE_INFINITY)
    )
      break;
  }
  return all
    .filter(({ archived = false, permissions }) => !archived && permissions?.push !== false)
    .toSorted((one, other) => Date.parse(other.updated_at) - Date.parse(one.updated_at))
    .map(({ full_name, default_branch }) => ({ path: full_name, defaultBranch: default_branch || null }));
}
