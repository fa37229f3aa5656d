import { VARIABLES } from "../config/variables.ts";

/** The text of --help. */
export function helpText(version: string, taskNames: readonly string[]): string {
  const column = Math.max(...Object.keys(VARIABLES).map((name) => name.length)) + 2;
  const variables = Object.entries(VARIABLES).map(
    ([name, { default: fallback, doc }]) =>
      `  ${name.padEnd(column)}${doc}${fallback === undefined ? "" : ` [${fallback}]`}`,
  );
  return `prompt-backend ${version}: a self-hosted backend for coding-agent sessions.

  prompt-backend                             server and all tasks, everything embedded: the place to start
  prompt-backend server [--with-bg-tasks]    the HTTP server, alone or with all tasks
  prompt-backend bg-tasks [NAME...]          background tasks, all of them or those named
  prompt-backend migrate [--check]           bring the database up to date; --check only tells (exit 1: not up to date)
  prompt-backend doctor [--json]             checks the configuration and all that it needs; exit 1: something must be done
  prompt-backend backup FILE [--force]       everything of the embedded mode in one file, also while it runs
  prompt-backend restore FILE                puts a backup into an empty DATA_DIR
  prompt-backend print-openapi               the API's description, without a database
  prompt-backend token --user NAME [--role ROLE]
                                             a token of the local issuer, as the last line of output
  prompt-backend --server [--all-bg-tasks | --bg-tasks NAME...]
                                             the original service's flags, in any combination
  … --handover=stop                          at the end, end running agents and hand their prompts over; without it they
                                             are left to the next process on this machine
  prompt-backend --help | --version

Tasks:
  ${taskNames.join("\n  ")}

Exit codes: 0 ended well, 1 could not do it (the reason is on stderr), 2 wrong command line.
SIGTERM or SIGINT ends it in order; a second one at once.

Environment [default]:
${variables.join("\n")}
`;
}
