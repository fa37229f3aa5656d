import { Elysia } from "elysia";
import rapidocJs from "rapidoc/dist/rapidoc-min.js" with { type: "file" };
import swaggerUiCss from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import swaggerUiJs from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import pageCss from "./pages/page.css" with { type: "text" };
import rapidocHtml from "./pages/rapidoc.html" with { type: "text" };
import swaggerUiHtml from "./pages/swagger-ui.html" with { type: "text" };
import startJs from "./pages/swagger-ui.start.js" with { type: "text" };

type Read = () => Promise<string> | string;
const file = (path: string) => () => Bun.file(path).text();

/** `String`: to the types of Bun every .html is a bundle, also where it is imported as text. */
const PAGES: Readonly<Record<string, { html: string; assets: Record<string, Read> }>> = {
  "/swagger-ui/": {
    html: String(swaggerUiHtml),
    assets: {
      "swagger-ui.css": file(swaggerUiCss),
      "swagger-ui-bundle.js": file(swaggerUiJs),
      "start.js": () => startJs,
      "page.css": () => pageCss,
    },
  },
  "/rapidoc/": {
    html: String(rapidocHtml),
    assets: { "rapidoc-min.js": file(rapidocJs), "page.css": () => pageCss },
  },
};

/**
 * Scripts and style sheets only from here, and calls only to here. Both pages write style attributes into their
 * markup, and RapiDoc style elements too; the markup of descriptions is cleaned by both before it is shown.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
};
/** A page names its assets with their hash; what has a name of its own for each content is kept for a year. */
const FOR_EVER = "public, max-age=31536000, immutable";
const ASK_AGAIN = "no-cache";

interface Content {
  text: string;
  hash: string;
}

/** Swagger UI and RapiDoc from inside the executable, for /openapi.json. They ask no other host for anything. */
export function pages() {
  const contents = new Map<string, Promise<Content>>();
  /** Read and hashed once, when first asked for. */
  const content = (path: string, read: Read) => {
    const known = contents.get(path) ?? Promise.resolve(read()).then(withHash);
    contents.set(path, known);
    return known;
  };
  const hidden = { detail: { hide: true } };
  const app = new Elysia({ name: "pages" }).get("/", () => redirect("/swagger-ui/"), hidden);

  for (const [path, { html, assets }] of Object.entries(PAGES)) {
    const page = () =>
      content(path, async () => {
        let text = html;
        for (const [name, read] of Object.entries(assets)) {
          const { hash } = await content(path + name, read);
          text = text.replace(`"${name}"`, `"${name}?${hash}"`);
        }
        return text;
      });
    // Elysia's router takes the path without the slash for the same, from which the assets' names would lead elsewhere.
    app.get(
      path,
      async ({ request }) =>
        new URL(request.url).pathname === path ? reply(request, "html", await page()) : redirect(path),
      hidden,
    );
    for (const [name, read] of Object.entries(assets)) {
      const type = name.slice(name.lastIndexOf(".") + 1);
      app.get(
        path + name,
        async ({ request }) => reply(request, type, await content(path + name, read)),
        hidden,
      );
    }
  }
  return app;
}

const redirect = (location: string) => new Response(null, { status: 302, headers: { location } });

/** Its hash is its ETag. */
export const withHash = (text: string): Content => ({ text, hash: Bun.hash(text).toString(36) });

/** With 304 for whoever has it already. */
export function reply(request: Request, type: string, { text, hash }: Content): Response {
  const etag = `"${hash}"`;
  const headers = {
    etag,
    "cache-control": new URL(request.url).search === `?${hash}` ? FOR_EVER : ASK_AGAIN,
    ...(type === "html" && { "content-security-policy": POLICY }),
  };
  const known = request.headers.get("if-none-match")?.split(",") ?? [];
  // A proxy that compresses makes it weak.
  if (known.some((one) => one.trim().replace(/^W\//, "") === etag))
    return new Response(null, { status: 304, headers });
  return new Response(text, { headers: { ...headers, "content-type": TYPES[type] ?? "" } });
}
