import { SECRETS_DOC, VARIABLES } from "../config/variables/all.ts";

/** The text of --help. */
export function helpText(version: string, taskNames: readonly string[]): string {
  const column = Math.max(...Object.keys(VARIABLES).map((name) => name.length)) + 2;
  const variables = Object.entries(VARIABLES).map(
    ([name, { default: fallback, doc }]) =>
      `  ${name.padEnd(column)}${doc}${fallback === undefined ? "" : ` [${fallback}]`}`,
  );
  return `prompt-backend ${version}: a self-hosted backend for coding-agent sessions.

  prompt-backend                             server and all tasks, with an embedded database: start here
  prompt-backend open [--url URL]            print a link that signs a browser of this machine in, and open it where there
                                             is a display; --url: where the service is, else HOST and PORT say it
  prompt-backend server [--with-bg-tasks]    HTTP server, alone or with all tasks
  prompt-backend bg-tasks [NAME...]          background tasks: all of them, or the named ones
  prompt-backend migrate [--check]           apply pending migrations; --check only lists them (exit code 1 if any)
  prompt-backend doctor [--json]             check the configuration and what it needs; exit code 1 if a check fails
  prompt-backend sandbox-check [--json] [ATTACK...]
                                             attack a sandbox of this machine from inside; exit code 1 if an attack is
                                             not blocked
  prompt-backend backup FILE [--force]       back up all data of the embedded mode to a file, also while it runs
  prompt-backend restore FILE                restore a backup into an empty DATA_DIR
  prompt-backend verify FILE [--key FILE] [--repository FOLDER]
                                             verify the provenance of commits (GET /sessions/{id}/provenance) offline,
                                             and print what it states; --key: the public key of the deployment that
                                             signed it, else this one's; --repository: look for the commits there;
                                             exit code 1 if it is not verified
  prompt-backend provenance-key              print the public key that verifies the provenance of this deployment
  prompt-backend print-openapi               print the OpenAPI document
  prompt-backend token --user NAME [--role ROLE]
                                             print a token of the local issuer
  prompt-backend --server [--all-bg-tasks | --bg-tasks NAME...]
                                             flags of the original service, in any combination
  … --handover=stop                          stop running agents at a shutdown and hand their prompts over, instead of
                                             leaving them running for the next process on this machine
  … --repositories FOLDER[:FOLDER...]        folders below which sessions may name repositories by path, in addition to
                                             LOCAL_REPOSITORIES
  prompt-backend --help | --version

Tasks:
  ${taskNames.join("\n  ")}

Exit codes: 0 success, 1 failure (stderr says why), 2 wrong command line.
SIGTERM or SIGINT shuts down gracefully; a second one exits at once.

Environment [default]:
  ${SECRETS_DOC}

${variables.join("\n")}
`;
}
