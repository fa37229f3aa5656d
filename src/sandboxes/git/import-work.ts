import { packOf } from "./bundle.ts";
import { faultIn, RepositoryError } from "./git-errors.ts";
import { movedIn, withoutLostGitlinks } from "./gitlinks.ts";
import { inspectedBundle } from "./inspect.ts";
import type { GiveObjects, Lfs } from "./lfs.ts";
import { pushBranch } from "./push.ts";
import type { CheckoutRequest, Refusal, WorkResult } from "./request.ts";
import { EXIT } from "./script-parts.ts";
import { IMPORT } from "./scripts.ts";
import { sessionRefs } from "./session-refs.ts";
import { type StoreGit, succeeded } from "./store-git.ts";
import { type DiskLasts, type InTurn, tellSecretUse } from "./store-turns.ts";
import type { SubmoduleDeps } from "./submodule-store.ts";
import { synced } from "./sync.ts";
import { keepUnpushed } from "./unpushed.ts";

const KEPT = "The work is kept, and the next prompt continues from it.";
const KEPT_HERE =
  "The work is too large for the database (UNPUSHED_WORK_MAX_MB): it is kept on this machine only, where the next prompt continues from it.";

const NOT_KEPT =
  "Nothing of it was kept or pushed, and the next prompt starts without it: tell the agent to leave them out of its files, messages and names; or store other values in the project, once these are worthless.";

function notImported(error: unknown): never {
  if (!(error instanceof RepositoryError)) throw error;
  const message = `The agent's commits could not be imported: ${error.message.replace(/\.?$/, ".")}`;
  throw new RepositoryError(message, { cause: error }, error.transient ? error.fault : faultIn(message));
}

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
 * @param options.inTurn, options.diskLasts, options.onceUnlocked how work in the store waits for others, and ends when the disk
 * is full: see store-turns.ts.
 */
export function openImport(options: {
  storeGit: StoreGit;
  lfs: Lfs;
  submodules: SubmoduleDeps;
  author: { name: string; email: string };
  branchPrefix: string;
  sizes: readonly string[];
  folder: string;
  inTurn: InTurn;
  diskLasts: DiskLasts;
  onceUnlocked: DiskLasts;
  tooLarge: () => RepositoryError;
}): ImportBundle {
  const { storeGit, lfs, submodules, author, branchPrefix, sizes, folder } = options;
  const { inTurn, diskLasts, onceUnlocked, tooLarge } = options;
  const { inStore } = storeGit;

  return (request, { bundle, start, give, replaces }, signal) => {
    let usesLfs = false;
    let leftOut: readonly string[] = [];
    /** Makes a commit the session's work. */
    const imported = async (commit: string, offset: string) => {
      const args = [sessionRefs(request.sessionId), commit, offset, ...sizes, start];
      const how = {
        timeoutIsFinal: true,
        ...(bundle !== undefined && offset !== "" && { stdin: { file: bundle } }),
      };
      const read = async (inTime: AbortSignal) => {
        const result = await inStore(IMPORT, args, inTime, how);
        if (result.code === EXIT.tooLarge) throw tooLarge();
        return succeeded(result);
      };
      const output = await onceUnlocked(signal, read).catch(notImported);
      const [line = "", ...lines] = output.trim().split("\n");
      const [tip = "", count, head = "", added, mark] = line.split(" ");
      usesLfs = mark === "lfs";
      const ids = lines.filter((one) => !one.startsWith(":"));
      const work = { start, commits: Number(count), commit: tip, head, added: { count: Number(added), ids } };
      return { work, moved: movedIn(lines) };
    };
    const keep = async (commit: string, offset: string) => (await imported(commit, offset)).work;

    /** Without submodules that nobody else could get. */
    const checked = async ({ work, moved }: Awaited<ReturnType<typeof imported>>) => {
      if (moved.length === 0) return work;
      const message = `Put back submodules that only the sandbox has\n\nSession: ${request.sessionId}\n`;
      const options = { storeGit, request, work: { ...work, moved }, message };
      const { commit, notices } = await withoutLostGitlinks(submodules, options, signal);
      leftOut = notices;
      return commit === work.commit ? work : await keep(commit, "");
    };

    const pushed = async (work: Omit<WorkResult, "push">): Promise<WorkResult> => {
      const tip = work.commit;
      const refs = sessionRefs(request.sessionId);
      const { notices = [], oids = [] } = usesLfs
        ? await diskLasts(signal, (inTime) => lfs.collect({ refs, commit: tip, give }, inTime))
        : {};
      const result = { ...work, notices: [...leftOut, ...notices] };
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

    const refused = ({ reason, secrets }: Refusal): WorkResult => ({
      ...{ start, commits: 0, commit: start, head: start, added: { count: 0, ids: [] } },
      push: { pushed: false, refused: true, reason: `${reason}. ${NOT_KEPT}`, secrets },
    });

    const work = async () => {
      const found = bundle === undefined ? { tip: start, offset: "" } : await packOf(bundle);
      const look = (inTime: AbortSignal) =>
        bundle === undefined
          ? Promise.resolve(undefined)
          : inspectedBundle(storeGit, request, { ...found, bundle, sizes, tooLarge }, inTime);
      const forbidden = await diskLasts(signal, look).catch(notImported);
      if (forbidden !== undefined) return refused(forbidden);
      const result = await checked(await imported(found.tip, found.offset));
      if (result.commits === 0)
        return { ...result, push: { pushed: false, reason: "nothing changed" } as const, notices: leftOut };
      await tellSecretUse(storeGit.address, request);
      const own = await pushed(result);
      const theirs = own.push.pushed ? undefined : own.push.theirs;
      return theirs === undefined || replaces !== undefined ? own : joined(own, theirs);
    };
    return inTurn(work, signal);
  };
}
