import type { Orm } from "../db/client.ts";
import { type ArchiveWhen, hear, keepState } from "./state-store.ts";
import type { PullRequestRow } from "./store.ts";
import type { TargetOf } from "./targets.ts";

/** Keeps what the host of a pull request says of it now. @throws ForgeError; AppError `forge_unknown`. */
export async function readAgain(
  { orm, targetOf, archiveWhen }: { orm: Orm; targetOf: TargetOf; archiveWhen: ArchiveWhen },
  { repo, row }: { repo: string; row: PullRequestRow },
  signal: AbortSignal,
): Promise<void> {
  const { forge, repository } = targetOf(repo);
  const now = await hear(orm, () => forge.readPullRequest(repository, row.number, signal));
  await keepState(orm, row, now, archiveWhen);
}
