import type { Octokit } from "@octokit/core";
import type { Static, TSchema } from "@sinclair/typebox";
import type { ForgeHost } from "../../config/forge-hosts.ts";
import { unlessAborted } from "../../shared/time.ts";
import { ForgeError, type ForgeRepository } from "../forge.ts";
import { allPages } from "../replies.ts";
import { mintAppToken, type Needs } from "./app-tokens.ts";
import { checkGithubReply, type Doing, githubError } from "./github-errors.ts";
import { openOctokit } from "./octokit.ts";

/** Entries of a list in one reply: a hundred checks with their whole output would be too large. */
const PAGE = 50;

/** The requests of one call of the seam, about one repository. */
export interface GithubCall {
  /** Where requests go: the parameters of their paths. */
  at: { owner: string; repo: string };
  /** @param what after "to", for error messages. @throws ForgeError */
  ask<S extends TSchema>(
    what: string,
    schema: S,
    send: (octokit: Octokit) => Promise<{ status: number; data: unknown }>,
  ): Promise<Static<S>>;
}

/** @param needs of an app's token; a configured token may do what it may do. @throws ForgeError */
export async function openGithubCall(
  host: ForgeHost,
  { path }: ForgeRepository,
  needs: Needs,
  signal: AbortSignal,
): Promise<GithubCall> {
  const [owner = "", repo = ""] = path.split("/");
  const { credential } = host;
  const app = credential?.kind === "app" ? credential : undefined;
  const configured = credential?.kind === "token" ? credential : undefined;
  const open = async () =>
    openOctokit(
      host,
      app ? { token: await mintAppToken({ host, app }, path, needs, signal) } : configured,
      signal,
    );
  let octokit = await open();

  const attempt = async <S extends TSchema>(
    doing: Doing,
    schema: S,
    send: (octokit: Octokit) => Promise<{ status: number; data: unknown }>,
  ): Promise<Static<S>> => {
    try {
      return checkGithubReply(schema, await unlessAborted(send(octokit), signal), doing);
    } catch (error) {
      signal.throwIfAborted();
      throw githubError(error, doing);
    }
  };

  return {
    at: { owner, repo },
    async ask(what, schema, send) {
      const doing = { host, what: `${what} in ${path}` };
      try {
        return await attempt(doing, schema, send);
      } catch (error) {
        if (!app || !(error instanceof ForgeError) || error.fault !== "unauthorised") throw error;
        // An app's token expires after an hour, and a new one is not known to all of GitHub's servers at once.
        octokit = await open();
        return attempt(doing, schema, send);
      }
    },
  };
}

/** All entries of a list: GitHub sends no page that is shorter than it could be. @throws ForgeError when there are more than are read. */
export const allOf = <T>(
  what: string,
  read: (paging: { per_page: number; page: number }) => Promise<readonly T[]>,
): Promise<readonly T[]> =>
  allPages(what, async (page) => {
    const entries = await read({ per_page: PAGE, page });
    return { entries, isLast: entries.length < PAGE };
  });
