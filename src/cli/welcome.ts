import { ownExecutable } from "../agents/own-executable.ts";
import type { Config } from "../config/config.ts";
import { EXAMPLE_BRANCH, exampleRepository } from "../sandboxes/example-repository.ts";

/** What a newcomer sees after the first start: commands to paste that submit a prompt and show its session. */
export async function welcomeText(options: { config: Config; url: string }): Promise<string> {
  const { config, url } = options;
  if (config.auth.mode === "oidc") return `API description: ${url}/openapi.json`;
  const repo = await exampleRepository(config);
  const token = [
    `DATA_DIR=${quote(config.dataDir)}`,
    ...ownExecutable().argv.map(quote),
    "token --user me 2>/dev/null",
  ].join(" ");
  const auth = config.auth.mode === "none" ? "" : ` -H "Authorization: Bearer $(${token})"`;
  const body = JSON.stringify({
    repo,
    target_branch: EXAMPLE_BRANCH,
    messages: [{ content: "Write a haiku about git into HAIKU.md" }],
  });
  return `
Submit a first prompt from another terminal (to an example repository that was created for you):

  curl -sS ${url}/sessions/with-prompt${auth} -H 'Content-Type: application/json' -d ${quote(body)}

List the sessions:

  curl -sS ${url}/sessions${auth}

See the resulting branch: git -C ${quote(repo)} log --all --oneline
`;
}

/** Quotes a word for a shell. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
