import { packOf } from "./bundle.ts";
import { faultIn, RepositoryError } from "./git-errors.ts";
import { retryOnLock } from "./git-retry.ts";
import type { GiveObjects, Lfs } from "./lfs.ts";
import { pushBranch } from "./push.ts";
import type { CheckoutRequest, FetchRequest, WorkResult } from "./request.ts";
import { EXIT } from "./script-parts.ts";
import { IMPORT } from "./scripts.ts";
import { sessionRefs } from "./session-refs.ts";
import { type StoreGit, succeeded } from "./store-git.ts";
import { synced } from "./sync.ts";
import { keepUnpushed } from "./unpushed.ts";

const KEPT = "The work is kept, and the next prompt continues from it.";
const KEPT_HERE =
  "The work is too large for the database (UNPUSHED_WORK_MAX_MB): it is kept on this machine only, where the next prompt continues from it.";

/**
 * Fetches the work from a bundle and pushes it to the session's branch (see push.ts).
 * @param work.bundle undefined: nothing has changed since `start`, the commit that the checkout started from.
 * @param work.give reads the objects of Git LFS that a sandbox has made; undefined: there is none.
 * @param work.replaces the commit that it is made of anew: it may be the branch's, instead of what the work contains.
 */
export type ImportBundle = (
  request: CheckoutRequest,
  work: { bundle: string | undefined; start: string; give?: GiveObjects; replaces?: string },
  signal: AbortSignal,
) => Promise<WorkResult>;

/**
 * @param options.sizes what a checkout may have, for the script. @param options.folder for temporary files.
 * @param options.inTurn, options.diskLasts how work in the store waits for others, and ends when the disk is full.
 */
export function openImport(options: {
  storeGit: StoreGit;
  lfs: Lfs;
  author: { name: string; email: string };
  branchPrefix: string;
  sizes: readonly string[];
  folder: string;
  inTurn: <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T>;
  diskLasts: <T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>) => Promise<T>;
  usesCredential: (request: FetchRequest) => Promise<void>;
  tooLarge: () => RepositoryError;
}): ImportBundle {
  const { storeGit, lfs, author, branchPrefix, sizes, folder, inTurn, diskLasts, usesCredential, tooLarge } =
    options;
  const { store, inStore } = storeGit;

  return (request, { bundle, start, give, replaces }, signal) => {
    let usesLfs = false;
    /** Makes a commit the session's work. */
    const keep = async (commit: string, offset: string) => {
      const args = [sessionRefs(request.sessionId), commit, offset, ...sizes, start];
      const how = {
        timeoutIsFinal: true,
        ...(bundle !== undefined && offset !== "" && { stdin: { file: bundle } }),
      };
      const imported = async (inTime: AbortSignal) => {
        const result = await inStore(IMPORT, args, inTime, how);
        if (result.code === EXIT.tooLarge) throw tooLarge();
        return succeeded(result);
      };
      const output = await diskLasts(signal, (inTime) =>
        retryOnLock(() => imported(inTime), { store, signal: inTime }),
      ).catch((error: unknown) => {
        if (!(error instanceof RepositoryError)) throw error;
        const message = `The agent's commits could not be imported: ${error.message.replace(/\.?$/, ".")}`;
        throw new RepositoryError(
          message,
          { cause: error },
          error.transient ? error.fault : faultIn(message),
        );
      });
      const [line = "", ...ids] = output.trim().split("\n");
      const [tip = "", count, head = "", added, mark] = line.split(" ");
      usesLfs = mark === "lfs";
      return {
        ...{ start, commits: Number(count), commit: tip, head },
        added: { count: Number(added), ids },
      };
    };

    const pushed = async (imported: Omit<WorkResult, "push">): Promise<WorkResult> => {
      const tip = imported.commit;
      const refs = sessionRefs(request.sessionId);
      const { notices = [], oids = [] } = usesLfs
        ? await diskLasts(signal, (inTime) => lfs.collect({ refs, commit: tip, give }, inTime))
        : {};
      const result = { ...imported, notices };
      // Whoever has the branch must have its objects.
      const before = () => lfs.upload(oids, signal);
      const push = await pushBranch({ storeGit, request, tip, branchPrefix, replaces, before, signal });
      if (push.pushed) return { ...result, push };
      const kept = await keepUnpushed(storeGit, request, { tip, folder }, signal);
      if (push.theirs === undefined)
        return { ...result, push: { ...push, reason: `${push.reason} ${kept ? KEPT : KEPT_HERE}` } };
      // The branch may have grown again meanwhile: the next prompt begins with what it has then.
      const reason = `${push.reason} The work is kept as the commit ${result.head}, and the next prompt begins with what is on the branch.`;
      return { ...result, push: { ...push, reason } };
    };

    /** With what others have pushed to the session's branch meanwhile. */
    const joined = async (own: WorkResult, theirs: string): Promise<WorkResult> => {
      const message = `Merge what was pushed to ${request.branch}\n\nSession: ${request.sessionId}\n`;
      const merge = (inTime: AbortSignal) =>
        synced(
          storeGit,
          { head: own.commit, target: theirs },
          { strategy: "merge", message, author },
          inTime,
        );
      try {
        const { start, added } = own;
        const result = await pushed({ ...(await keep(await diskLasts(signal, merge), "")), start, added });
        return result.push.pushed ? { ...result, push: { ...result.push, joined: true } } : result;
      } catch (error) {
        if (!(error instanceof RepositoryError) || error.transient || own.push.pushed) throw error;
        return { ...own, push: { ...own.push, reason: `${own.push.reason} ${error.message}` } };
      }
    };

    const work = async () => {
      const found = bundle === undefined ? { tip: start, offset: "" } : await packOf(bundle);
      const result = await keep(found.tip, found.offset);
      if (result.commits === 0)
        return { ...result, push: { pushed: false, reason: "nothing changed" } as const };
      await usesCredential(request);
      const own = await pushed(result);
      const theirs = own.push.pushed ? undefined : own.push.theirs;
      return theirs === undefined || replaces !== undefined ? own : joined(own, theirs);
    };
    return inTurn(work, signal);
  };
}
