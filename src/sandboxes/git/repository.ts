import { createHash } from "node:crypto";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { KeyedMutex } from "../../shared/keyed-mutex.ts";
import { type CheckoutRequest, RepositoryError, type WorkResult } from "../sandbox.ts";
import type { Git } from "./git.ts";
import { patiently } from "./git-retry.ts";
import type { RepoAddress } from "./repo-url.ts";
import { openRemote } from "./repository-remote.ts";

/** The name that a bundle's one branch has. */
export const BUNDLED = "refs/bundled/work";

/** Our own bare copy of one source repository. No agent ever touches it, so credentials may be used in it. */
export interface RepositoryStore {
  /** Brings the branches up to date and makes a checkout at `folder`. @returns the commit it starts from. */
  checkOut(request: CheckoutRequest, folder: string, signal: AbortSignal): Promise<string>;
  /**
   * The same, into a bundle at `file` for a checkout on another machine.
   * @returns the commit it starts from, and the refs in the bundle of the target branch and of the session's work.
   */
  bundle(
    request: CheckoutRequest,
    file: string,
    signal: AbortSignal,
  ): Promise<{ start: string; base: string; head: string }>;
  /** Takes the work out of a bundle (undefined: the checkout still is at `start`) and pushes it where that is allowed. */
  takeIn(
    request: CheckoutRequest,
    work: { bundle: string | undefined; start: string },
    signal: AbortSignal,
  ): Promise<WorkResult>;
}

/**
 * @param options.inTurn runs one piece of work at a time on the folder of this name, among those of this process.
 * @param options.author whom the agent's own commits in the checkout are by, unless it says otherwise.
 */
export function openRepositoryStore(options: {
  git: Git;
  dataDir: string;
  address: RepoAddress;
  hasToken: boolean;
  author: { name: string; email: string };
  inTurn: KeyedMutex;
}): RepositoryStore {
  const { git, dataDir, address, hasToken, author, inTurn } = options;
  const store = join(
    dataDir,
    "repos",
    `${createHash("sha256").update(address.url).digest("hex").slice(0, 32)}.git`,
  );
  const withToken = address.kind === "github";
  const refs = (sessionId: string) => ({
    base: `refs/sessions/${sessionId}/base`,
    origin: `refs/sessions/${sessionId}/origin`,
    head: `refs/sessions/${sessionId}/head`,
    /** Work that the branch's newer tip does not contain; nothing an agent made is thrown away. */
    aside: (commit: string) => `refs/sessions/${sessionId}/aside/${commit}`,
  });
  const inStore = (args: readonly string[], signal: AbortSignal, remote = false) =>
    git(args, { cwd: store, withToken: withToken && remote, signal });

  const remote = openRemote({ inStore, store, address, hasToken });

  const ensure = async (signal: AbortSignal) => {
    if (await stat(join(store, "HEAD")).catch(() => undefined)) return;
    // Made aside and moved: another process, or a crash, never meets half a store.
    const draft = `${store}.${crypto.randomUUID()}`;
    await mkdir(join(dataDir, "repos"), { recursive: true, mode: 0o700 });
    await git(["init", "--quiet", "--bare", "--template=", "--", draft], { signal });
    await rename(draft, store).catch(() => rm(draft, { recursive: true, force: true }));
  };

  const commitOf = (ref: string, signal: AbortSignal) =>
    inStore(["rev-parse", "--verify", "--quiet", ref], signal).then(
      (text) => text.trim(),
      () => {
        signal.throwIfAborted();
        return undefined;
      },
    );
  const isAncestor = (older: string, newer: string, signal: AbortSignal) =>
    inStore(["merge-base", "--is-ancestor", older, newer], signal).then(
      () => true,
      () => {
        signal.throwIfAborted();
        return false;
      },
    );

  /** Moves the session's head; a commit that the new one does not contain stays reachable. */
  const setHead = async (sessionId: string, commit: string, signal: AbortSignal) => {
    const { head, aside } = refs(sessionId);
    const before = await commitOf(head, signal);
    if (before && !(await isAncestor(before, commit, signal)))
      await inStore(["update-ref", aside(before), before], signal);
    await inStore(["update-ref", head, commit], signal);
  };

  /** Where the session's work is: what it pushed, or what it could not push, or, at first, the target branch. */
  const newest = async (request: CheckoutRequest, pushed: string | undefined, signal: AbortSignal) => {
    const { base, head } = refs(request.sessionId);
    const kept = await commitOf(head, signal);
    const target = (await commitOf(base, signal)) ?? "";
    const other = pushed ?? target;
    // Without work of its own it starts from the target branch as it is today.
    if (kept === undefined || (await isAncestor(kept, other, signal))) return other;
    return pushed === undefined || (await isAncestor(pushed, kept, signal)) ? kept : pushed;
  };

  /** Brings the session's refs up to date. @returns the commit that its work starts from. */
  const update = (request: CheckoutRequest, signal: AbortSignal) => {
    const { base, origin } = refs(request.sessionId);
    return inTurn(store, async () => {
      await ensure(signal);
      const heads = await remote.branches(request, signal);
      const pushed = heads.get(request.branch);
      const wanted = [`+refs/heads/${request.targetBranch}:${base}`];
      if (pushed !== undefined) wanted.push(`+refs/heads/${request.branch}:${origin}`);
      const fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", address.url, ...wanted];
      await patiently(() => inStore(fetch, signal, true), { store });
      const newestCommit = await newest(request, pushed && (await commitOf(origin, signal)), signal);
      await patiently(() => setHead(request.sessionId, newestCommit, signal), { store });
      return newestCommit;
    });
  };

  return {
    async checkOut(request, folder, signal) {
      const { base, head } = refs(request.sessionId);
      const start = await update(request, signal);
      // A repository of its own, with copies of the objects: what an agent does to it cannot reach the store. Only the
      // session's own refs are read, so that others need not wait meanwhile.
      await git(["init", "--quiet", "--template=", `--initial-branch=${request.branch}`, "--", folder], {
        signal,
      });
      const inCheckout = (...args: string[]) => git(args, { cwd: folder, signal });
      const branches = [
        `${head}:refs/heads/${request.branch}`,
        `${base}:refs/remotes/origin/${request.targetBranch}`,
      ];
      await inCheckout("fetch", "--quiet", "--no-tags", "--update-head-ok", "--", store, ...branches);
      await inCheckout("remote", "add", "origin", address.display);
      await inCheckout("config", "user.name", author.name);
      await inCheckout("config", "user.email", author.email);
      await inCheckout("checkout", "--quiet", "--force", request.branch, "--");
      return start;
    },

    async bundle(request, file, signal) {
      const { base, head } = refs(request.sessionId);
      const start = await update(request, signal);
      await inStore(["bundle", "create", "--quiet", file, base, head], signal);
      return { start, base, head };
    },

    takeIn: (request, { bundle, start }, signal) =>
      inTurn(store, async () => {
        const { base, head } = refs(request.sessionId);
        const tip = bundle === undefined ? start : await unpack(bundle, request.sessionId, signal);
        await patiently(() => setHead(request.sessionId, tip, signal), { store });
        const commits = Number(await inStore(["rev-list", "--count", `${base}..${head}`], signal));
        const short = (await inStore(["rev-parse", "--short", head], signal)).trim();
        const work = commits === 0 ? ({ pushed: false, reason: "nothing changed" } as const) : undefined;
        return { commits, head: short, push: work ?? (await remote.push(request, head, signal)) };
      }),
  };

  /** The bundle's one branch, as plain objects. @throws RepositoryError where it is incomplete. */
  async function unpack(bundle: string, sessionId: string, signal: AbortSignal): Promise<string> {
    const incoming = `refs/sessions/${sessionId}/incoming`;
    const fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", bundle];
    try {
      await patiently(() => inStore([...fetch, `+${BUNDLED}:${incoming}`], signal), { store });
      return (await inStore(["rev-parse", "--verify", `${incoming}^{commit}`], signal)).trim();
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error;
      const message = `The agent's commits could not be taken over: ${error.message}.`;
      throw new RepositoryError(message, { cause: error }, error.passing);
    }
  }
}
