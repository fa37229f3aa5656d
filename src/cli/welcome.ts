import { ownExecutable } from "../agents/own-executable.ts";
import { SIGN_IN_MINUTES } from "../auth/local-issuer.ts";
import type { Config } from "../config/config.ts";
import { EXAMPLE_BRANCH, exampleRepository } from "../sandboxes/example-repository.ts";
import { signInLink } from "./sign-in-link.ts";

/** What a newcomer sees after the first start: a link to the console, and commands to paste that do the same. */
export async function welcomeText(options: { config: Config; url: string }): Promise<string> {
  const { config, url } = options;
  if (config.auth.mode === "oidc") return `Open ${signInLink(config, url)}`;
  const repo = await exampleRepository(config);
  const { auth } = config;
  const { argv } = ownExecutable();
  const open = argv.length === 1 ? `${quote(argv[0])} open` : "npm run open";
  const token = [`DATA_DIR=${quote(config.dataDir)}`, ...argv.map(quote), "token --user me 2>/dev/null"].join(
    " ",
  );
  const header = auth.mode === "none" ? "" : ` -H "Authorization: Bearer $(${token})"`;
  const body = JSON.stringify({
    repo,
    target_branch: EXAMPLE_BRANCH,
    messages: [{ content: "Write a haiku about git into HAIKU.md" }],
  });
  return `
Open ${signInLink(config, url)}
${
  auth.mode === "none"
    ? ""
    : `(signs one browser of this machine in, within ${SIGN_IN_MINUTES} minutes; \`${open}\` makes another link)
`
}
Or submit a first prompt from another terminal (to an example repository that was created for you):

  curl -sS ${url}/sessions/with-prompt${header} -H 'Content-Type: application/json' -d ${quote(body)}

List the sessions: curl -sS ${url}/sessions${header}
See the resulting branch: git -C ${quote(repo)} log --all --oneline
`;
}

/** Quotes a word for a shell. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
