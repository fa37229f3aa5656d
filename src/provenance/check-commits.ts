import { messageOf } from "../shared/errors.ts";
import { NotVerified } from "./envelope.ts";
import type { RunFacts } from "./statement.ts";

/** The commits that a statement names, as they are in a repository. */
export interface FoundCommit {
  id: string;
  /** Whether it has the service's trailers; without them the agent has made it itself. */
  trailers: boolean;
}

/** Config of the repository that would run programs, and what would contact others: nothing is fetched. */
const SETTINGS = ["-c", "log.showSignature=false", "-c", "core.fsmonitor=false"];
const FORMAT = "%H%n%(trailers:only=true,unfold=true)";

/**
 * @param options.env for git: PATH and HOME.
 * @throws NotVerified if one of the commits is not in the repository, or names another session or prompt.
 */
export function checkCommits(options: {
  facts: RunFacts;
  repository: string;
  env: Readonly<Record<string, string | undefined>>;
}): FoundCommit[] {
  const { facts, repository, env } = options;
  const { parameters, commits } = facts;
  const found = readTrailers({ commits, repository, env });
  return commits.map((id) => {
    const trailers = found.get(id);
    if (!trailers) throw new NotVerified(`names the commit ${id}, which ${repository} does not have`);
    const named = trailers.filter(([key]) => key === "Session" || key === "Prompt");
    const wrong = named.find(
      ([key, value]) => value !== (key === "Session" ? parameters.session : parameters.prompt.id),
    );
    if (wrong)
      throw new NotVerified(`names the commit ${id}, whose trailer ${wrong.join(": ")} is of another run`);
    return { id, trailers: named.length === 2 };
  });
}

/** The trailers of those commits that are there. */
function readTrailers(options: {
  commits: readonly string[];
  repository: string;
  env: Readonly<Record<string, string | undefined>>;
}): Map<string, [key: string, value: string][]> {
  const { commits, repository, env } = options;
  const how = ["log", "--no-walk=unsorted", "--ignore-missing", "--stdin", "-z", `--format=${FORMAT}`];
  const { success, stdout, stderr } = runGit([...SETTINGS, "-C", repository, ...how], commits, env);
  if (!success)
    throw new NotVerified(`cannot be compared with ${repository}: ${messageOf(stderr.toString("utf8"))}`);
  return new Map(
    stdout
      .toString("utf8")
      .split("\0")
      .map((entry) => {
        const [id = "", ...lines] = entry.trim().split("\n");
        return [id, lines.map(trailerIn)];
      }),
  );
}

function runGit(
  args: readonly string[],
  lines: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
) {
  // A replacement could give any message to a commit, and a missing one must not be fetched.
  const safe = { GIT_NO_REPLACE_OBJECTS: "1", GIT_NO_LAZY_FETCH: "1", GIT_TERMINAL_PROMPT: "0" };
  return Bun.spawnSync(["git", ...args], {
    env: { ...env, ...safe },
    stdin: Buffer.from(`${lines.join("\n")}\n`),
    stdout: "pipe",
    stderr: "pipe",
  });
}

function trailerIn(line: string): [key: string, value: string] {
  const [, key = "", value = ""] = /^([^:]*): *(.*)$/.exec(line) ?? [];
  return [key, value];
}
