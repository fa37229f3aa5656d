import { createHash } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Git } from "./git.ts";
import type { RepoAddress } from "./repo-url.ts";
import { type CheckoutRequest, RepositoryError, type WorkResult } from "./sandbox.ts";

/** Other processes fetch into the same store; its lock files are held for moments. */
const LOCK_TRIES = 5;

/** Our own bare copy of one source repository. No agent ever touches it, so credentials may be used in it. */
export interface RepositoryStore {
  /** Brings the branches up to date and makes a checkout at `folder`. @returns the commit it starts from. */
  checkOut(request: CheckoutRequest, folder: string, signal: AbortSignal): Promise<string>;
  /** Takes the work out of a bundle (undefined: the checkout still is at `start`) and pushes it where that is allowed. */
  takeIn(
    request: CheckoutRequest,
    work: { bundle: string | undefined; start: string },
    signal: AbortSignal,
  ): Promise<WorkResult>;
}

/** @param options.mayPush false with the reason why branches of this repository stay here. */
export function openRepositoryStore(options: {
  git: Git;
  dataDir: string;
  address: RepoAddress;
  hasToken: boolean;
}): RepositoryStore {
  const { git, dataDir, address, hasToken } = options;
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
  });
  const inStore = (args: readonly string[], signal: AbortSignal, remote = false) =>
    git(args, { cwd: store, withToken: withToken && remote, signal });

  const ensure = async (signal: AbortSignal) => {
    if (await stat(join(store, "HEAD")).catch(() => undefined)) return;
    await mkdir(store, { recursive: true });
    await git(["init", "--quiet", "--bare", store], { signal });
  };

  const remoteBranches = async (
    request: CheckoutRequest,
    signal: AbortSignal,
  ): Promise<Map<string, string>> => {
    if (address.kind === "local" && !(await stat(address.url).catch(() => undefined)))
      throw new RepositoryError(`The repository ${address.display} does not exist.`);
    let listing: string;
    try {
      listing = await inStore(["ls-remote", "--heads", "--", address.url], signal, true);
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error;
      throw new RepositoryError(
        `The repository ${address.display} cannot be read: ${error.message}.${withToken && !hasToken ? " If it is private, set GITHUB_TOKEN for the service." : ""}`,
      );
    }
    const heads = new Map(
      listing
        .split("\n")
        .filter(Boolean)
        .map((line) => [
          line.slice(line.indexOf("\t") + 1).replace(/^refs\/heads\//, ""),
          line.slice(0, line.indexOf("\t")),
        ]),
    );
    if (heads.has(request.targetBranch)) return heads;
    const names = [...heads.keys()].slice(0, 10).join(", ");
    throw new RepositoryError(
      `The repository ${address.display} has no branch ${request.targetBranch}; ${names ? `it has ${names}` : "it is empty"}.`,
    );
  };

  const commitOf = (ref: string, signal: AbortSignal) =>
    inStore(["rev-parse", "--verify", "--quiet", ref], signal).then(
      (text) => text.trim(),
      () => undefined,
    );
  const isAncestor = (older: string, newer: string, signal: AbortSignal) =>
    inStore(["merge-base", "--is-ancestor", older, newer], signal).then(
      () => true,
      () => false,
    );

  return {
    async checkOut(request, folder, signal) {
      const { base, origin, head } = refs(request.sessionId);
      await ensure(signal);
      const heads = await remoteBranches(request, signal);
      const wanted = [`+refs/heads/${request.targetBranch}:${base}`];
      if (heads.has(request.branch)) wanted.push(`+refs/heads/${request.branch}:${origin}`);
      await patiently(() =>
        inStore(
          ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", address.url, ...wanted],
          signal,
          true,
        ),
      );

      // Where the session's work is: what it pushed, or what it could not push, or, at first, nowhere.
      const pushed = heads.get(request.branch);
      const kept = await commitOf(head, signal);
      const start =
        kept && (!pushed || (await isAncestor(pushed, kept, signal)))
          ? kept
          : (pushed ?? heads.get(request.targetBranch));
      if (!start)
        throw new RepositoryError(`The repository ${address.display} has no branch ${request.targetBranch}.`);
      await patiently(() => inStore(["update-ref", head, start], signal));

      // A repository of its own, with copies of the objects: what an agent does to it cannot reach the store.
      await git(["init", "--quiet", folder], { signal });
      const branches = [
        `${head}:refs/heads/${request.branch}`,
        `${base}:refs/remotes/origin/${request.targetBranch}`,
      ];
      await git(["fetch", "--quiet", "--no-tags", store, ...branches], { cwd: folder, signal });
      await git(["remote", "add", "origin", address.display], { cwd: folder, signal });
      await git(["checkout", "--quiet", request.branch], { cwd: folder, signal });
      return start;
    },

    async takeIn(request, { bundle, start }, signal) {
      const { base, head } = refs(request.sessionId);
      if (bundle)
        await patiently(() =>
          inStore(
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", bundle, `+HEAD:${head}`],
            signal,
          ),
        );
      else await patiently(() => inStore(["update-ref", head, start], signal));
      const commits = Number(await inStore(["rev-list", "--count", `${base}..${head}`], signal));
      const short = (await inStore(["rev-parse", "--short", head], signal)).trim();
      return {
        commits,
        head: short,
        push:
          commits === 0
            ? { pushed: false, reason: "there is nothing to push" }
            : await push(request, head, signal),
      };
    },
  };

  async function push(
    request: CheckoutRequest,
    head: string,
    signal: AbortSignal,
  ): Promise<WorkResult["push"]> {
    const kept = "The work is kept, and the next prompt continues from it.";
    if (withToken && !hasToken) return { pushed: false, reason: `GITHUB_TOKEN is not set. ${kept}` };
    if (address.kind === "https")
      return { pushed: false, reason: `there are no credentials for ${address.display}. ${kept}` };
    try {
      await inStore(
        ["push", "--quiet", "--porcelain", address.url, `${head}:refs/heads/${request.branch}`],
        signal,
        true,
      );
      return { pushed: true, to: address.display };
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error;
      return { pushed: false, reason: `${address.display} refused it: ${error.message}. ${kept}` };
    }
  }
}

async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (tries >= LOCK_TRIES || !(error instanceof RepositoryError) || !/lock/i.test(error.message))
        throw error;
      await Bun.sleep(50 * 2 ** tries);
    }
  }
}
