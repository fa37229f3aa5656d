import { OidcClient, OidcLocation } from "@axa-fr/oidc-client";
import { Configuration, DefaultApi } from "@wholelottahoopla/prompt-backend-client";

/** The published web UI, without its looks: its libraries, configured as it configures them, and its callback page. */
const { VITE } = globalThis as unknown as { VITE: Record<string, string> };
const location = new OidcLocation();
const oidc = OidcClient.getOrCreate(
  () => fetch,
  location,
)({
  authority: String(VITE["VITE_OIDC_AUTHORITY"]),
  client_id: String(VITE["VITE_OIDC_CLIENT_ID"]),
  redirect_uri: String(VITE["VITE_OIDC_REDIRECT_URI"]),
  silent_redirect_uri: String(VITE["VITE_OIDC_SILENT_REDIRECT_URI"]),
  scope: String(VITE["VITE_OIDC_SCOPE"]),
  service_worker_relative_url: "/OidcServiceWorker.js",
  service_worker_only: false,
});
const backend = String(VITE["VITE_BACKEND_URL"]);

async function open(): Promise<boolean> {
  const { pathname } = new URL(location.getCurrentHref());
  if (pathname === "/authentication/callback") return Boolean(await oidc.loginCallbackAsync());
  return oidc.tryKeepExistingSessionAsync();
}

Object.assign(globalThis, {
  oidc,
  api: new DefaultApi(new Configuration({ basePath: backend, credentials: "include" })),
  me: async () => (await fetch(`${backend}/me`, { credentials: "include" })).json(),
  signedIn: open(),
});
