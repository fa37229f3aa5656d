import { join, resolve } from "node:path";
import type { Page } from "playwright-core";
import { openBrowser } from "../harness/browser.ts";

const ROOT = resolve(import.meta.dir, "../..");
const WORKER = join(ROOT, "node_modules/@axa-fr/oidc-client-service-worker/dist/OidcServiceWorker.js");
/** The web UI's own port. */
const PORT = 3000;

/**
 * A browser with the published web UI at http://localhost:3000, whatever is there on this machine.
 * @param variables the variables that the UI is built with. @param ports others of localhost, and where they really are.
 */
export async function openWebUi(variables: Record<string, string>, ports: Record<number, number>) {
  const built = await Bun.build({
    entrypoints: [join(import.meta.dir, "web-ui-page.ts")],
    target: "browser",
  });
  const [script] = built.outputs;
  if (!script) throw new Error("the page was not built");
  const trusted = {
    default: {
      oidcDomains: [new URL(String(variables["VITE_OIDC_AUTHORITY"])).origin],
      accessTokenDomains: [variables["VITE_BACKEND_URL"]],
    },
  };
  const javascript = (text: string | Blob) =>
    new Response(text, { headers: { "content-type": "text/javascript" } });
  const html = `<!doctype html><title>Web UI</title><script>VITE = ${JSON.stringify(variables)}</script><script type="module" src="/page.js"></script>`;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    routes: {
      "/page.js": javascript(await script.text()),
      "/OidcServiceWorker.js": javascript(await Bun.file(WORKER).text()),
      "/OidcTrustedDomains.js": javascript(`const trustedDomains = ${JSON.stringify(trusted)};`),
    },
    fetch: () => new Response(html, { headers: { "content-type": "text/html" } }),
  });
  const browser = await openBrowser({ ports: { ...ports, [PORT]: Number(server.port) } });
  const url = `http://localhost:${PORT}/`;
  return {
    url,
    newPage: () => browser.newPage(),
    async close() {
      await browser.close();
      await server.stop(true);
    },
  };
}

/** Waits until the page has read its address and its service worker, and tells whether somebody is signed in. */
export const isSignedIn = (page: Page): Promise<boolean> => page.evaluate("signedIn");
