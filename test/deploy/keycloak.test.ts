import { describe, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { YAML } from "bun";
import { readConfig } from "../../src/config/config.ts";
import { VARIABLES } from "../../src/config/variables/all.ts";
import { redirectUri } from "../../src/web-sessions/provider.ts";

/** What can be known without Keycloak; `npm run keycloak` signs in with the real one. */
const ROOT = resolve(import.meta.dir, "../..");
const read = (path: string) => Bun.file(join(ROOT, path)).text();

interface Client {
  clientId: string;
  publicClient: boolean;
  standardFlowEnabled: boolean;
  implicitFlowEnabled?: boolean;
  directAccessGrantsEnabled: boolean;
  serviceAccountsEnabled?: boolean;
  secret?: string;
  redirectUris?: string[];
  webOrigins?: string[];
  attributes?: Record<string, string>;
  defaultClientScopes: string[];
  protocolMappers: { name: string; protocolMapper: string; config: Record<string, string> }[];
}

describe("deploy/keycloak/realm.json", async () => {
  const text = await read("deploy/keycloak/realm.json");
  const realm = JSON.parse(text);
  const clients: Client[] = realm.clients;
  const [ui, service, webConsole] = clients as [Client, Client, Client];
  const yaml = await read("docker-compose.yml");
  const compose = YAML.parse(yaml) as {
    "x-environment": Record<string, string>;
    services: Record<string, { ports?: string[]; environment?: Record<string, string> }>;
  };
  const environment = compose["x-environment"];

  test("keeps Keycloak's own client scopes, which a list of its own would replace", () => {
    for (const name of ["clientScopes", "defaultDefaultClientScopes", "defaultOptionalClientScopes"])
      expect(realm).not.toHaveProperty(name);
    // Requested by the web UI; a scope that does not exist is ignored at import, and refused at sign-in.
    for (const { defaultClientScopes } of clients) expect(defaultClientScopes).toEqual(["profile", "email"]);
  });

  test.each(clients)(
    "$clientId: its access tokens have the audience, roles and subject that the service reads",
    ({ protocolMappers }) => {
      const mappers = Object.fromEntries(protocolMappers.map((one) => [one.protocolMapper, one.config]));
      expect(mappers).toEqual({
        "oidc-audience-mapper": {
          "included.custom.audience": String(VARIABLES.AUTH_AUDIENCE.default),
          "access.token.claim": "true",
          "id.token.claim": "false",
        },
        "oidc-usermodel-realm-role-mapper": {
          "claim.name": "realm_access.roles",
          "jsonType.label": "String",
          multivalued: "true",
          "access.token.claim": "true",
        },
        "oidc-sub-mapper": { "access.token.claim": "true", "introspection.token.claim": "true" },
      });
    },
  );

  test("the web UI's client has no secret, and signs in by code with PKCE alone", () => {
    expect(ui).toMatchObject({
      clientId: "prompt-backend-ui",
      publicClient: true,
      standardFlowEnabled: true,
      implicitFlowEnabled: false,
      directAccessGrantsEnabled: false,
    });
    expect(ui.attributes).toMatchObject({ "pkce.code.challenge.method": "S256" });
    expect(ui.secret).toBeUndefined();
  });

  test("the console's client has no secret, signs in by code with PKCE alone, and comes back to one page of the service", () => {
    expect(webConsole).toMatchObject({
      publicClient: true,
      standardFlowEnabled: true,
      implicitFlowEnabled: false,
      directAccessGrantsEnabled: false,
    });
    expect(webConsole.serviceAccountsEnabled ?? false).toBe(false);
    expect(webConsole.secret).toBeUndefined();
    // Keycloak refuses a sign-in without it, and one with the method `plain`.
    expect(webConsole.attributes?.["pkce.code.challenge.method"]).toBe("S256");
    const origins = ["http://localhost:8000", "http://127.0.0.1:8000"];
    expect(webConsole.redirectUris).toEqual(origins.map((origin) => redirectUri(new URL(origin))));
    expect(webConsole.attributes?.["post.logout.redirect.uris"]).toBe(
      origins.map((origin) => `${origin}/`).join("##"),
    );
    // The service asks for its tokens, no page does.
    expect(webConsole.webOrigins).toEqual([]);
    for (const origin of origins)
      expect(compose.services["server"]?.ports).toEqual([`127.0.0.1:\${PORT:-${new URL(origin).port}}:8000`]);
  });

  test("compose signs browsers in as the console's client, with this realm, which it reaches inside of its network", () => {
    const defaultOf = (name: string) =>
      new RegExp(`^\\$\\{${name}:?-(.*)\\}$`).exec(environment[name] ?? "")?.[1];
    expect(defaultOf("OIDC_CLIENT_ID")).toBe(webConsole.clientId);
    expect(defaultOf("OIDC_CLIENT_SECRET")).toBe("");
    const issuer = new URL(defaultOf("KEYCLOAK_ISSUER") ?? "");
    const discovery = new URL(defaultOf("OIDC_DISCOVERY_URL") ?? "");
    expect(discovery.pathname).toBe(`/realms/${realm.realm}/.well-known/openid-configuration`);
    expect(discovery.pathname).toStartWith(`${issuer.pathname}/`);
    expect(Object.keys(compose.services)).toContain(discovery.hostname);
    expect(discovery.origin).toBe(new URL(defaultOf("KEYCLOAK_JWKS_URI") ?? "").origin);
  });

  test("the scripts' client needs its secret for everything, and signs nobody in by a browser", () => {
    expect(service).toMatchObject({
      clientId: "prompt-backend",
      publicClient: false,
      standardFlowEnabled: false,
      serviceAccountsEnabled: true,
    });
    expect(service.redirectUris).toBeUndefined();
  });

  test("the web UI may be at its default port, at Vite's, or at the service; nothing of compose is there", () => {
    const origins = ["http://localhost:3000", "http://localhost:5173", "http://localhost:8000"];
    expect(ui.webOrigins).toEqual(origins);
    // The page to return to is checked by its origin alone: the UI signs in and out at several paths.
    expect(ui.redirectUris).toEqual(origins.map((origin) => `${origin}/*`));
    expect(ui.attributes?.["post.logout.redirect.uris"]).toBe("+");
    const others = Object.entries(compose.services)
      .filter(([name]) => name !== "server")
      .flatMap(([, { ports = [] }]) => ports);
    for (const origin of origins)
      for (const port of others) expect(port).not.toContain(`:${new URL(origin).port}:`);
  });

  test("compose allows the realm's web origins, and reads the tokens of this realm", () => {
    expect(environment["CORS_ORIGINS"]).toBe(`\${CORS_ORIGINS-${ui.webOrigins?.join(",")}}`);
    expect(readConfig({ CORS_ORIGINS: ui.webOrigins?.join(",") }).corsOrigins).toEqual(ui.webOrigins ?? []);
    const { KC_HOSTNAME } = compose.services["keycloak"]?.environment ?? {};
    expect(environment["KEYCLOAK_ISSUER"]).toContain(`:-${KC_HOSTNAME}/realms/${realm.realm}}`);
    expect(environment["KEYCLOAK_JWKS_URI"]).toContain(`/realms/${realm.realm}/`);
    expect(environment["AUTH_AUDIENCE"]).toContain(`:-${VARIABLES.AUTH_AUDIENCE.default}}`);
  });

  test("tokens live for minutes, sign-ins for a day", () => {
    expect(realm.accessTokenLifespan).toBeWithin(60, 3601);
    expect(realm.ssoSessionIdleTimeout).toBeWithin(realm.accessTokenLifespan, realm.ssoSessionMaxLifespan);
    expect(realm.ssoSessionMaxLifespan).toBeWithin(3600, 86_401);
    expect(realm).toMatchObject({ bruteForceProtected: true, registrationAllowed: false });
  });

  test("it contains no secret: those of the client and of the test user come from compose, which has no default for them", () => {
    expect(service.secret).toMatch(/^\$\{\w+\}$/);
    const [credential, ...others] = realm.users.flatMap(
      (one: { credentials?: object[] }) => one.credentials ?? [],
    );
    expect(credential.value).toMatch(/^\$\{\w+\}$/);
    expect(others).toEqual([]);
    for (const [, name = ""] of text.matchAll(/\$\{(\w+)\}/g)) expect(yaml).toContain(`${name}:?`);
  });

  test("everybody has the role user, and only administrators of the realm make someone an admin", () => {
    expect(realm.roles.realm.map((one: { name: string }) => one.name)).toEqual(["user", "admin"]);
    expect(realm.defaultRoles).toEqual(["user"]);
    for (const user of realm.users) expect(user.realmRoles).toEqual(["user"]);
  });
});
