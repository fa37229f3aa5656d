import { RepositoryError } from "./git-errors.ts";
import { quotedName } from "./notices.ts";
import type { RepoAddress } from "./repo-url.ts";
import type { FetchRequest } from "./request.ts";
import { emptyFolder } from "./submodule-folder.ts";
import type { Submodule, SubmoduleListing } from "./submodule-listing.ts";
import { type Room, type SubmoduleDeps, submoduleAt } from "./submodule-store.ts";

/** Of one checkout: a repository may name any number of others. */
const MAX_SUBMODULES = 50;
/** How deep they may be nested. */
const MAX_DEPTH = 3;
/** For all of them: a run waits for it. */
const TIMEOUT_MS = 10 * 60_000;

/** A repository with submodules, in a checkout. */
interface Parent {
  address: RepoAddress;
  listing: SubmoduleListing;
  /** Its folder. */
  folder: string;
  /** As users name the folder: "" or a path that ends in a slash. */
  prefix: string;
  depth: number;
}

/**
 * Fetches the submodules of a new checkout that are on hosts which the service knows, those of submodules, too, and puts each
 * into its folder, as a repository of its own. One that is not fetched is no reason to fail: its folder stays empty.
 * @param options.checkout its folder, and the sandbox's user. Nothing runs there yet.
 * @returns sentences for the user about those that are missing. @throws what `signal` aborted with.
 */
export async function checkOutSubmodules(
  deps: SubmoduleDeps,
  options: {
    request: FetchRequest;
    address: RepoAddress;
    listing: SubmoduleListing;
    checkout: { folder: string; uid: number | undefined };
  },
  signal: AbortSignal,
): Promise<string[]> {
  const { request, address, listing, checkout } = options;
  const { maxFiles, maxBytes } = deps.config.repoLimits;
  const room: Room = { files: maxFiles - listing.files, bytes: maxBytes - listing.bytes };
  const late = AbortSignal.timeout(TIMEOUT_MS);
  const inTime = AbortSignal.any([signal, late]);
  const notices: string[] = [];
  let count = 0;

  const bring = async (parent: Parent, module: Submodule): Promise<Parent> => {
    if (parent.depth >= MAX_DEPTH)
      throw new RepositoryError(`submodules are fetched ${MAX_DEPTH} deep at most`);
    count += 1;
    if (count > MAX_SUBMODULES)
      throw new RepositoryError(`at most ${MAX_SUBMODULES} submodules of a checkout are fetched`);
    if (module.url === undefined) throw new RepositoryError("it has no URL in .gitmodules");
    const { address, store } = submoduleAt(deps, module.url, parent.address);
    const folder = await emptyFolder(parent.folder, module.path);
    const found = await store.fetch(request, module, room, inTime);
    await store.checkOut(module.commit, folder, checkout.uid, inTime);
    room.files -= found.files;
    room.bytes -= found.bytes;
    const prefix = `${parent.prefix}${module.path}/`;
    return { address, listing: found, folder, prefix, depth: parent.depth + 1 };
  };

  // Not recursively: those that are deepest come last, and are the ones that are left out.
  const parents: Parent[] = [{ address, listing, folder: checkout.folder, prefix: "", depth: 0 }];
  for (const parent of parents)
    for (const module of parent.listing.submodules) {
      try {
        parents.push(await bring(parent, module));
      } catch (error) {
        signal.throwIfAborted();
        if (!late.aborted && !(error instanceof RepositoryError)) throw error;
        const why = late.aborted
          ? `all together may take ${TIMEOUT_MS / 60_000} minutes`
          : (error as Error).message;
        notices.push(missing(`${parent.prefix}${module.path}`, why));
      }
    }
  return notices;
}

/** Sentences about submodules of a checkout that is made where none can be fetched. */
export const submodulesNamed = ({ submodules }: SubmoduleListing): string[] =>
  submodules.map(({ path, url }) =>
    missing(path, url === undefined ? "it has no URL in .gitmodules" : "borrowed sandboxes get none"),
  );

const missing = (path: string, why: string) =>
  `The submodule ${quotedName(path)} is not in the checkout: ${why.replace(/\.$/, "")}.`;
