import { afterEach } from "bun:test";
import type { ForgeCredential } from "../../../src/config/forge-hosts.ts";
import { type Forge, ForgeError, type NewPullRequest } from "../../../src/forges/forge.ts";
import { openForges } from "../../../src/forges/open-forges.ts";
import { commitOf, type StandInRepository } from "../../harness/github/state.ts";
import { downloadGithubDescriptions, type GithubDescription } from "../../harness/github-description.ts";
import { type GithubStandIn, startGithubStandIn } from "../../harness/github-stand-in.ts";

export const REPOSITORY = { path: "acme/shop" };
export const WORK = commitOf("work");
export const NEW: NewPullRequest = {
  title: "Add a basket",
  body: "What was asked, and what was done.",
  head: "agent/basket",
  base: "main",
  draft: false,
};

await downloadGithubDescriptions();

const running: GithubStandIn[] = [];

/** A stand-in of its own for each test: the clients of one host keep a pace of writing. Ends, and is judged, after the test. */
export async function startGithub(
  options: { description?: GithubDescription; repository?: Partial<StandInRepository> } = {},
) {
  const github = await startGithubStandIn(options);
  running.push(github);
  const repository = github.addRepository(REPOSITORY.path, {
    collaborators: ["ada", "grace"],
    teams: ["security"],
    ...options.repository,
  });
  repository.branches.set(NEW.head, WORK);
  const forgeWith = (credential?: ForgeCredential): Forge => {
    const found = openForges([github.host(credential)]).forgeOf(`${github.url}/${REPOSITORY.path}.git`);
    if (!found) throw new Error("the stand-in is no known forge");
    return found.forge;
  };
  return { github, repository, forgeWith };
}

afterEach(async () => {
  for (const github of running.splice(0)) await github.stop();
});

export const within = (ms = 20_000): AbortSignal => AbortSignal.timeout(ms);

/** The ForgeError that work fails with. */
export async function faultOf(work: Promise<unknown>): Promise<ForgeError> {
  const error = await work.then(
    () => new Error("it has not failed"),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ForgeError) return error;
  throw error;
}
