import { swagger } from "@elysiajs/swagger";
import { type AnyElysia, Elysia } from "elysia";
import { mend, type RawDocument } from "./openapi.ts";
import { pages, reply, withHash } from "./pages.ts";

const DESCRIPTION = `Coding-agent sessions: a prompt goes in, a branch comes out.

Create a session with a repository and a prompt. The backend checks the repository out on a branch of its own, runs a coding agent there,
keeps and streams everything it says, and pushes the branch for review. A follow-up prompt continues on the same branch.

Every operation with a lock needs \`Authorization: Bearer <token>\`; without an identity provider, \`prompt-backend token --user NAME\`
prints one. Everybody sees only what is theirs: what belongs to somebody else answers 404, as what does not exist. Every error has the
shape of ErrorDto; decide by its \`code\`, and name its \`request_id\` in a report.`;

const TAGS = [
  { name: "Sessions", description: "A change to a repository, from prompt to branch" },
  { name: "Prompts", description: "What was asked for, first and in follow-ups" },
  { name: "Messages", description: "What the agent said, in order" },
  { name: "Live", description: "The same, as it happens" },
  { name: "Dead Letter Queue", description: "What failed for good, until somebody resolves or abandons it" },
  { name: "Me", description: "Who I am here, and what I may use" },
  { name: "Webhooks", description: "What other services tell" },
  { name: "Health", description: "Is it there, is it ready, and what is it made of" },
];

interface Handles {
  handle(request: Request): Promise<Response>;
}

/** The API's description, OpenAPI 3.0.3, of all routes of `app`. The same bytes that /openapi.json serves. */
export function openApiText(app: Handles): Promise<string> {
  return app.handle(new Request("http://localhost/openapi.json")).then((reply) => reply.text());
}

/** Serves /openapi.json, of all routes that `root` has by then, and the pages that show it. */
export function docs(version: string) {
  let text: Promise<string> | undefined;
  return (root: AnyElysia) =>
    new Elysia({ name: "docs" })
      .get(
        "/openapi.json",
        ({ request }) => {
          text ??= describe(root, version);
          return text.then((body) => reply(request, "json", withHash(body)));
        },
        { detail: { hide: true } },
      )
      .use(pages());
}

/** The generator comes with a page that loads scripts from another host, so it is asked outside of the served app. */
async function describe(root: AnyElysia, version: string): Promise<string> {
  const described = new Elysia().use(generator(version)).use(root);
  const raw = await described.handle(new Request(`http://localhost${RAW}`));
  return `${JSON.stringify(mend((await raw.json()) as RawDocument), null, 2)}\n`;
}

const RAW = "/openapi.raw";

const generator = (version: string) =>
  swagger({
    path: "/openapi.page",
    specPath: RAW,
    documentation: {
      info: {
        title: "prompt-backend",
        version,
        description: DESCRIPTION,
        license: { name: "MIT", url: "https://opensource.org/license/mit" },
      },
      tags: TAGS,
      servers: [{ url: "/", description: "This server" }],
      components: {
        securitySchemes: {
          Bearer: {
            type: "http",
            scheme: "bearer",
            bearerFormat: "JWT",
            description: "From your identity provider, or from `prompt-backend token --user NAME`",
          },
          WebhookSecret: { type: "http", scheme: "bearer", description: "WEBHOOK_SECRET itself" },
          WebhookSignature: {
            type: "apiKey",
            in: "header",
            name: "X-Webhook-Signature",
            description: "`sha256=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<body>`",
          },
          WebhookTimestamp: {
            type: "apiKey",
            in: "header",
            name: "X-Webhook-Timestamp",
            description: "Seconds since 1970, at most 5 minutes off",
          },
        },
      },
    },
  });
