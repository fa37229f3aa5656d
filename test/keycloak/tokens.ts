import { expect } from "./expect.ts";
import { type Keycloak, requestTokens } from "./server.ts";

/** What the service makes of Keycloak's tokens. */
export async function checkTokens(keycloak: Keycloak, url: string): Promise<void> {
  const { issuer, secrets } = keycloak;
  const client = { client_id: "prompt-backend", client_secret: secrets.KEYCLOAK_BACKEND_CLIENT_SECRET };
  const person = {
    grant_type: "password",
    scope: "openid",
    username: "test",
    password: secrets.KEYCLOAK_TEST_USER_PASSWORD,
  };
  const ask = async (path: string, token: string) => {
    const reply = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } });
    return { status: reply.status, body: (await reply.json()) as Record<string, unknown> };
  };
  const said = async (token: string) => {
    const { status, body } = await ask("/me", token);
    return [status, body["msg"]];
  };
  const kidOf = (token: string) =>
    JSON.parse(Buffer.from(String(token.split(".")[0]), "base64url").toString()).kid;

  const tokens = await requestTokens(issuer, { ...client, ...person });
  expect("an ID token is refused", await said(tokens.id_token), [
    401,
    "This is an ID token; send the access token.",
  ]);
  expect("a refresh token is refused", (await said(tokens.refresh_token))[0], 401);
  expect("the audit log is for admins", (await ask("/audit", tokens.access_token)).status, 403);

  const machine = await requestTokens(issuer, { ...client, grant_type: "client_credentials" });
  const { body: account } = await ask("/me", machine.access_token);
  expect("a service account is a user of its own", account["name"], "service-account-prompt-backend");

  const admin = await keycloak.admin();
  const credentials = [{ type: "password", value: person.password }];
  const profile = { email: "new@localhost", firstName: "New", lastName: "Person" };
  await admin("POST", "/users", { username: "new", enabled: true, credentials, ...profile });
  const [{ id }] = await admin("GET", "/users?username=new&exact=true");
  const tokenOfNew = async () =>
    (await requestTokens(issuer, { ...client, ...person, username: "new" })).access_token;
  const granted = (await ask("/me", await tokenOfNew())).body["roles"] as string[];
  expect("a new user has the role user", granted.includes("user"), true);
  await admin(
    "DELETE",
    `/users/${id}/role-mappings/realm`,
    await admin("GET", `/users/${id}/role-mappings/realm`),
  );
  const { body: bare } = await ask("/me", await tokenOfNew());
  expect("somebody without roles signs in", [bare["name"], bare["roles"]], ["New Person", []]);
  expect("and reads what is theirs", (await ask("/sessions", await tokenOfNew())).body, { sessions: [] });
  await admin("POST", `/users/${id}/role-mappings/realm`, [await admin("GET", "/roles/admin")]);
  expect("an admin reads the audit log", (await ask("/audit", await tokenOfNew())).status, 200);

  const mapper = {
    name: "audience",
    protocol: "openid-connect",
    protocolMapper: "oidc-audience-mapper",
    config: { "included.custom.audience": "another-service", "access.token.claim": "true" },
  };
  const other = {
    clientId: "other",
    publicClient: true,
    directAccessGrantsEnabled: true,
    protocolMappers: [mapper],
  };
  await admin("POST", "/clients", other);
  const foreign = await requestTokens(issuer, { client_id: "other", ...person });
  expect("a token for another service is refused", await said(foreign.access_token), [
    401,
    'The token is for another audience; this service expects "prompt-backend".',
  ]);

  const { id: realm } = await admin("GET", "");
  await admin("POST", "/components", {
    name: "new-key",
    providerId: "rsa-generated",
    providerType: "org.keycloak.keys.KeyProvider",
    parentId: realm,
    config: { priority: ["200"], algorithm: ["RS256"] },
  });
  const renewed = (await requestTokens(issuer, { ...client, ...person })).access_token;
  expect("Keycloak signs with its new key", kidOf(renewed) !== kidOf(tokens.access_token), true);
  expect("which the service fetches at once", (await ask("/me", renewed)).status, 200);
}

/** Pages of which origins may use the service. */
export async function checkOrigins(url: string): Promise<void> {
  const preflight = async (origin: string) => {
    const headers = {
      origin,
      "access-control-request-method": "PUT",
      "access-control-request-headers": "authorization",
    };
    const { status, headers: answered } = await fetch(`${url}/sessions`, { method: "OPTIONS", headers });
    return [
      status,
      answered.get("access-control-allow-origin"),
      answered.get("access-control-allow-credentials"),
    ];
  };
  const ui = "http://localhost:3000";
  expect("a preflight of the web UI is answered", await preflight(ui), [204, ui, "true"]);
  expect("one of another page is not", await preflight("http://localhost:3001"), [405, null, null]);
}
