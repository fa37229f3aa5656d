import { noteAct } from "../audit/noted-acts.ts";
import { LOCAL_TOKEN_DAYS, openLocalIssuer } from "../auth/local-issuer.ts";
import type { Config } from "../config/config.ts";
import { OperatorError } from "../shared/errors.ts";

interface Output {
  write(text: string): unknown;
}

/**
 * `prompt-backend token`: prints a token of the local issuer as the only line on stdout, so that
 * `TOKEN=$(prompt-backend token --user me)` works; its description goes to stderr. The service may be running.
 * @throws OperatorError when this service does not issue tokens (exit code 1) or a name is invalid (2).
 */
export async function runToken({
  config,
  user,
  roles,
  stdout,
  stderr = process.stderr,
}: {
  config: Pick<Config, "auth" | "dataDir">;
  user: string;
  roles: readonly string[];
  stdout: Output;
  stderr?: Output;
}): Promise<void> {
  const { auth, dataDir } = config;
  if (auth.mode === "oidc")
    throw new OperatorError(
      `Tokens are issued by ${auth.issuer}: sign in there. To issue them here, unset KEYCLOAK_ISSUER or set AUTH_MODE=local, for the server too.`,
    );
  if (auth.mode === "none")
    throw new OperatorError(
      "With AUTH_MODE=none no token is needed. To use tokens, set AUTH_MODE=local, for the server too.",
    );
  const issuer = openLocalIssuer({ dataDir, audience: auth.audience });
  const token = await issuer.issue({ user, roles });
  noteAct(dataDir, {
    action: "token.issue",
    target: `user:${user}`,
    detail: { roles, days: LOCAL_TOKEN_DAYS },
  });
  const named = roles.length > 0 ? ` with ${roles.length === 1 ? "role" : "roles"} ${roles.join(", ")}` : "";
  stderr.write(`Token for ${user}${named}, valid ${LOCAL_TOKEN_DAYS} days, signed with ${issuer.keyFile}:\n`);
  stdout.write(`${token}\n`);
}
