import { rm } from "node:fs/promises";
import { join } from "node:path";
import { headerOf } from "./bundle.ts";
import { RepositoryError } from "./git-errors.ts";
import type { CheckoutRequest, FetchRequest } from "./request.ts";
import { BUNDLE_WORK, IMPORT_WORK } from "./scripts.ts";
import { sessionRefs } from "./session-refs.ts";
import { BRING_COMMITS } from "./shallow-scripts.ts";
import { type StoreGit, succeeded } from "./store-git.ts";

/**
 * Brings what the session could not push into this machine's store, as far as the database has it. The target branch is
 * there already.
 * @param folder for a temporary file. @throws RepositoryError if it is damaged, or builds on what the target branch has lost.
 */
export async function bringUnpushed(
  storeGit: StoreGit,
  request: FetchRequest,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const file = join(folder, `unpushed-${crypto.randomUUID()}.bundle`);
  try {
    if (!(await request.unpushed.read(file))) return;
    const { refs, bases, offset } = await headerOf(file);
    succeeded(await storeGit.withSource(BRING_COMMITS, [storeGit.address.url, ...bases], signal));
    const aside = refs.filter(({ name }) => name.includes("/aside/")).map(({ commit }) => commit);
    const args = [offset, sessionRefs(request.sessionId), ...aside];
    succeeded(await storeGit.inStore(IMPORT_WORK, args, signal, { stdin: { file } }));
  } catch (error) {
    if (!(error instanceof RepositoryError) || error.transient) throw error;
    throw new RepositoryError(
      `What this session could not push to ${storeGit.address.display} cannot be restored: ${error.message}`,
      { cause: error },
    );
  } finally {
    await rm(file, { force: true });
  }
}

/**
 * Keeps the session's work, which was not pushed, in the database.
 * @returns false: it is too large, and stays in this machine's store only, which the database knows.
 */
export async function keepUnpushed(
  storeGit: StoreGit,
  request: CheckoutRequest,
  work: { tip: string; folder: string },
  signal: AbortSignal,
): Promise<boolean> {
  const { tip, folder } = work;
  if (request.unpushed.commit === tip && request.unpushed.host === null) return true;
  const file = join(folder, `unpushed-${crypto.randomUUID()}.bundle`);
  try {
    const args = [sessionRefs(request.sessionId)];
    succeeded(await storeGit.inStore(BUNDLE_WORK, args, signal, { stdout: file }));
    return await request.unpushed.keep(tip, file);
  } finally {
    await rm(file, { force: true });
  }
}
