import type { Secret } from "../shared/secret.ts";
import { checkedForges } from "./forge-hosts.ts";
import { type ConfigCode, ConfigMistake } from "./mistakes.ts";
import { isLoopback } from "./parsers.ts";
import type { Mistakes, ValuesOf } from "./rows.ts";
import type { ROWS, VariableName } from "./variables/all.ts";

type Values = ValuesOf<typeof ROWS>;
type Fail = (name: VariableName, code: ConfigCode, problem: string) => void;

/** How long an agent may take to exit after its final result, milliseconds. */
const RESULT_GRACE_MS = 30_000;

/**
 * Checks what one variable alone does not show, and puts the settings together. What is wrong is noted in `mistakes`.
 * @param options.serves this process will listen, so that it must be settled who has access.
 */
export function checkValues(values: Values, options: { serves: boolean; path: string; mistakes: Mistakes }) {
  const { serves, path, mistakes } = options;
  const fail: Fail = (name, code, problem) => {
    if (!mistakes.has(name)) mistakes.set(name, new ConfigMistake(code, problem));
  };
  checkAgent(values, fail);
  if (values.egress.mode === "deny" && values.egress.allow && !mistakes.has("EGRESS"))
    fail("EGRESS_ALLOW", "config_unused", "has no effect with EGRESS=deny; set EGRESS=list or unset this");
  if (values.egress.mode === "list" && !values.egress.allow?.length)
    fail("EGRESS_ALLOW", "config_required", "is required with EGRESS=list; EGRESS=deny is for none");
  // A DATABASE_URL with a mistake will be one without: what follows from it is reported now, too.
  const external = values.databaseUrl !== undefined || mistakes.has("DATABASE_URL");
  const host = values.host ?? (external ? "0.0.0.0" : "127.0.0.1");
  const auth = checkedAuth(values, serves && !mistakes.has("AUTH_MODE") ? host : undefined, fail);
  if (auth.mode === "oidc" && values.localRepositories)
    fail(
      "LOCAL_REPOSITORIES",
      "config_unused",
      "is not used with OIDC, whose users must not reach paths of this machine; unset it",
    );
  return {
    ...values,
    host,
    auth,
    forges: checkedForges(values, fail),
    corsOrigins: values.corsOrigins ?? [],
    runLimits: { ...values.runLimits, resultGraceMs: RESULT_GRACE_MS },
    /** Undefined: returned sandboxes redeploy nothing. */
    railway: checkedRailway(values, fail),
    /** The PATH to find programs on. */
    path,
  };
}

function checkAgent(values: Values, fail: Fail): void {
  const { agent, agentCommand, anthropicApiKey, sandboxProvider, ipAllocatorUrl } = values;
  if (agent === "command" && !agentCommand)
    fail("AGENT_COMMAND", "config_required", "is required with AGENT=command");
  if (agent === "claude" && !anthropicApiKey)
    fail("ANTHROPIC_API_KEY", "config_required", "is required with AGENT=claude");
  if (sandboxProvider === "allocator" && !ipAllocatorUrl)
    fail("IP_ALLOCATOR_URL", "config_required", "is required with SANDBOX_PROVIDER=allocator");
  if (sandboxProvider === "allocator" && agent === "demo")
    fail(
      "AGENT",
      "config_conflict",
      "demo works in local sandboxes only; set SANDBOX_PROVIDER=local or another AGENT",
    );
}

/** What this service is to its issuer when it signs browsers in. */
export interface OidcClient {
  id: string;
  /** Undefined: a public client. */
  secret: Secret | undefined;
  /** Besides openid. */
  scopes: readonly string[];
  /** Undefined: at the issuer's own address. */
  discoveryUrl: string | undefined;
}

export type AuthConfig =
  | {
      mode: "oidc";
      issuer: string;
      jwksUri: string | undefined;
      audience: string;
      tokenTypes: readonly string[];
      /** Undefined: all clients of the issuer. */
      authorizedParties: readonly string[] | undefined;
      /** Undefined: browsers do not sign in. */
      client: OidcClient | undefined;
    }
  | { mode: "local"; audience: string }
  | { mode: "none" };

/** @param host the address to listen on; undefined: this process does not listen. */
function checkedAuth({ auth }: Values, host: string | undefined, fail: Fail): AuthConfig {
  const { mode, issuer, jwksUri, audience, tokenTypes, authorizedParties } = auth;
  const open = host !== undefined && !isLoopback(host);
  const client = checkedClient(auth, fail);
  if (mode === "none" && open)
    fail(
      "AUTH_MODE",
      "config_unprotected",
      `none disables authentication and is allowed only on a loopback address; set HOST=127.0.0.1 (it is ${host})`,
    );
  if (mode === "none") return { mode };
  if (mode === "local") return { mode, audience };
  if (issuer) return { mode: "oidc", issuer, jwksUri, audience, tokenTypes, authorizedParties, client };
  if (mode === "oidc") fail("KEYCLOAK_ISSUER", "config_required", "is required with AUTH_MODE=oidc");
  else if (open)
    fail(
      "KEYCLOAK_ISSUER",
      "config_unprotected",
      `is required when listening on ${host}; set it, or HOST=127.0.0.1, or AUTH_MODE=local to accept locally issued tokens from anywhere`,
    );
  return { mode: "local", audience };
}

function checkedClient(auth: Values["auth"], fail: Fail): OidcClient | undefined {
  const { id, ...others } = auth.client;
  if (id === undefined) {
    if (others.secret) fail("OIDC_CLIENT_ID", "config_required", "is required with OIDC_CLIENT_SECRET");
    return undefined;
  }
  if (!auth.issuer || auth.mode === "local" || auth.mode === "none")
    fail(
      "OIDC_CLIENT_ID",
      "config_unused",
      "is used only with an issuer; set KEYCLOAK_ISSUER, without AUTH_MODE or with AUTH_MODE=oidc, or unset this",
    );
  if (auth.authorizedParties && !auth.authorizedParties.includes(id))
    fail(
      "AUTH_AUTHORIZED_PARTIES",
      "config_conflict",
      `does not name OIDC_CLIENT_ID, so that the tokens of its sign-ins would be refused; add ${JSON.stringify(id)}`,
    );
  return { id, ...others };
}

function checkedRailway({ railway }: Values, fail: Fail) {
  const { apiUrl, apiKey, deploymentId } = railway;
  if (apiKey && deploymentId) return { apiUrl, apiKey, deploymentId };
  if (apiKey) fail("RAILWAY_DEPLOYMENT_ID", "config_required", "is required with RAILWAY_API_KEY");
  if (deploymentId) fail("RAILWAY_API_KEY", "config_required", "is required with RAILWAY_DEPLOYMENT_ID");
  return undefined;
}
