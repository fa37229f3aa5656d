import { Elysia } from "elysia";
import { type ContentType, contentReply, createContentCache } from "./content.ts";
import { PACKAGE_FILES } from "./package-files.ts";
import pageCss from "./pages/page.css" with { type: "text" };
import rapidocHtml from "./pages/rapidoc.html" with { type: "text" };
import swaggerUiHtml from "./pages/swagger-ui.html" with { type: "text" };
import startJs from "./pages/swagger-ui.start.js" with { type: "text" };

interface Asset {
  name: string;
  type: ContentType;
  read: () => Promise<Uint8Array<ArrayBuffer>> | string;
}

const css = (name: string, read: Asset["read"]): Asset => ({ name, type: "css", read });
const js = (name: string, read: Asset["read"]): Asset => ({ name, type: "js", read });
const file = (path: string) => () => Bun.file(path).bytes();

/** `String`: to Bun's types every .html import is a bundle, also one that is imported as text. */
const PAGES: readonly { path: string; html: string; assets: readonly Asset[] }[] = [
  {
    path: "/swagger-ui/",
    html: String(swaggerUiHtml),
    assets: [
      css("swagger-ui.css", file(PACKAGE_FILES.swaggerUiCss)),
      js("swagger-ui-bundle.js", file(PACKAGE_FILES.swaggerUiJs)),
      js("start.js", () => startJs),
      css("page.css", () => pageCss),
    ],
  },
  {
    path: "/rapidoc/",
    html: String(rapidocHtml),
    assets: [js("rapidoc-min.js", file(PACKAGE_FILES.rapidocJs)), css("page.css", () => pageCss)],
  },
];

/** Swagger UI and RapiDoc for /openapi.json, embedded in the executable. They send no request to any other host. */
export function pages() {
  const content = createContentCache();
  const hidden = { detail: { hide: true } };
  const app = new Elysia({ name: "pages" });

  for (const { path, html, assets } of PAGES) {
    const withHashes = async () => {
      let text = html;
      for (const { name, read } of assets) {
        const { hash } = await content(path + name, read);
        text = text.replace(`"${name}"`, `"${name}?${hash}"`);
      }
      return text;
    };
    // Elysia routes the path without the trailing slash here too, but relative asset URLs would not resolve there.
    app.get(
      path,
      async ({ request }) =>
        new URL(request.url).pathname === path
          ? contentReply(request, "html", await content(path, withHashes))
          : redirect(path),
      hidden,
    );
    for (const { name, type, read } of assets)
      app.get(
        path + name,
        async ({ request }) => contentReply(request, type, await content(path + name, read)),
        hidden,
      );
  }
  return app;
}

const redirect = (location: string) => new Response(null, { status: 302, headers: { location } });
