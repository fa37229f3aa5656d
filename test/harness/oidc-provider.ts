import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
// @ts-expect-error: it comes without types.
import { Provider } from "oidc-provider";

export const CLIENT = { id: "console", secret: "the-secret-of-the-console-at-its-provider" };
const AUDIENCE = "prompt-backend";
/** How the provider names the service; tokens have its audience. */
const RESOURCE = `urn:${AUDIENCE}`;
const SCOPES = "openid profile email offline_access";

interface Context {
  req: IncomingMessage;
  res: ServerResponse;
  method: string;
  path: string;
  type: string;
  body: string;
  redirect(url: string): void;
  oidc?: { params?: { grant_type?: string } };
}

/**
 * A real OpenID Connect provider on loopback. Its login form has a field `user` and the buttons "Sign in" and "Deny"; whoever
 * is named is signed in, and stays so at the provider. Access tokens are JWTs for the service; refresh tokens rotate, and a
 * second use of one ends everything that came of the same sign-in.
 * @param options.accessTokenS seconds that an access token is valid.
 */
export async function openOidcProvider({ accessTokenS = 300 } = {}) {
  const grants: string[] = [];
  const requests = { refreshed: 0, refused: 0 };
  let lifetimeS = accessTokenS;
  let subjectOf = (user: string) => user;
  const server = createServer((request, response) => handle(request, response));
  const listen = async (port: number) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  const close = async () => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;

  const profileOf = (id: string) => ({ name: `${id} of the provider`, email: `${id}@example.com` });
  const { warn } = console;
  // It says at each start that it keeps everything in memory, which is right here.
  console.warn = () => {};
  const provider = new Provider(url, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        // A native client's loopback addresses have any port: the service's own is not known before it starts.
        application_type: "native",
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: ["http://127.0.0.1/auth/callback", "http://localhost/auth/callback"],
        post_logout_redirect_uris: ["http://127.0.0.1/", "http://localhost/"],
      },
    ],
    cookies: { keys: ["a key of this test"] },
    claims: { openid: ["sub"], profile: ["name"], email: ["email"] },
    findAccount: (_: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id, ...profileOf(id) }),
    }),
    extraTokenClaims: (_: unknown, { accountId }: { accountId: string }) => profileOf(accountId),
    formats: {
      customizers: {
        jwt: (
          _: unknown,
          { accountId }: { accountId: string },
          { payload }: { payload: { sub: string } },
        ) => {
          payload.sub = subjectOf(accountId);
        },
      },
    },
    issueRefreshToken: () => true,
    rotateRefreshToken: true,
    ttl: {
      AccessToken: () => lifetimeS,
      IdToken: 300,
      RefreshToken: 86_400,
      Session: 86_400,
      Grant: 86_400,
      Interaction: 600,
    },
    interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (context: Context, form: string) => {
          context.body = page(
            `${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`,
          );
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: SCOPES,
          audience: AUDIENCE,
          accessTokenTTL: lifetimeS,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
  console.warn = warn;

  provider.use(async (context: Context, next: () => Promise<void>) => {
    if (!context.path.startsWith("/interaction/")) return next();
    if (context.method === "GET") {
      const { prompt, session } = await provider.interactionDetails(context.req, context.res);
      // It asks a native client's user each time; other providers remember whom they know.
      if (prompt.name === "consent") return finish(context, await grantTo(session.accountId));
      context.type = "html";
      context.body = page(
        `<form method="post"><label>User <input name="user" autofocus></label><button>Sign in</button><button name="deny" value="yes">Deny</button></form>`,
      );
      return;
    }
    const form = new URLSearchParams(await text(context.req));
    await finish(context, await answerTo(form));
  });
  const finish = async (context: Context, answer: object) =>
    context.redirect(await provider.interactionResult(context.req, context.res, answer));
  const handle: (request: IncomingMessage, response: ServerResponse) => void = provider.callback();
  async function answerTo(form: URLSearchParams) {
    if (form.get("deny"))
      return { error: "access_denied", error_description: "<script>alert('hostile')</script>" };
    return grantTo(form.get("user") ?? "");
  }
  async function grantTo(accountId: string) {
    const grant = new provider.Grant({ accountId, clientId: CLIENT.id });
    grant.addOIDCScope(SCOPES);
    grant.addResourceScope(RESOURCE, SCOPES);
    const grantId: string = await grant.save();
    grants.push(grantId);
    return { login: { accountId }, consent: { grantId } };
  }

  const isRefresh = ({ oidc }: Context) => oidc?.params?.grant_type === "refresh_token";
  provider.on("grant.success", (context: Context) => {
    if (isRefresh(context)) requests.refreshed += 1;
  });
  provider.on("grant.error", (context: Context) => {
    if (isRefresh(context)) requests.refused += 1;
  });

  return {
    url,
    /** Refreshes since the start: with new tokens, and refused. */
    requests,
    /** Variables of a service whose browsers sign in here. */
    env: {
      AUTH_MODE: "oidc",
      KEYCLOAK_ISSUER: url,
      OIDC_CLIENT_ID: CLIENT.id,
      OIDC_CLIENT_SECRET: CLIENT.secret,
    },
    /** For the access tokens that are issued from now on. */
    setLifetime: (seconds: number) => {
      lifetimeS = seconds;
    },
    /** Whom the access tokens name that are issued from now on, unlike their ID tokens. */
    setSubject: (of: (user: string) => string) => {
      subjectOf = of;
    },
    /** Ends what it has granted so far, as an administrator does: refresh tokens are refused. */
    async revokeAll() {
      for (const id of grants.splice(0)) await provider.RefreshToken.revokeByGrantId(id);
    },
    /** Nobody listens, until `up`. */
    down: close,
    up: () => listen(port),
    async [Symbol.asyncDispose]() {
      if (server.listening) await close();
    },
  };
}

const page = (body: string) =>
  `<!doctype html><html lang="en"><head><title>The provider</title></head><body>${body}</body></html>`;
