import { swagger } from "@elysiajs/swagger";
import { type AnyElysia, Elysia } from "elysia";
import { contentReply, createContentCache } from "./content.ts";
import { normalizeOpenApi, type RawDocument } from "./openapi.ts";
import { pages } from "./pages.ts";

const DESCRIPTION = `Coding-agent sessions: a prompt goes in, a branch comes out.

Create a session with a repository and a prompt. The backend checks the repository out on a branch of its own, runs a coding agent there,
stores and streams everything the agent says, and pushes the branch for review. A follow-up prompt continues on the same branch.

Operations with a lock need \`Authorization: Bearer <token>\`. Without an identity provider, \`prompt-backend token --user NAME\` prints a
token. Users see only what they own; everything else answers 404, as if it did not exist. Every error is an ErrorDto: decide by its
\`code\`, and include its \`request_id\` in bug reports. Only what is not valid HTTP gets a reply without a body: 400, or 431 for headers of
more than 16 KiB.

Fields of a body and parameters of a query that an operation does not have are refused with 422 \`unknown_field\`, and nothing is
done: what is ignored might have been a filter or a limit.`;

const TAGS = [
  { name: "Sessions", description: "A change to a repository, from prompt to branch" },
  { name: "Prompts", description: "Requests to the agent: the first one and follow-ups" },
  { name: "Agents", description: "What works on prompts" },
  { name: "Messages", description: "The agent's output, in order" },
  { name: "Review", description: "What was done: diffs, commits, files" },
  { name: "Permissions", description: "What agents ask before they act, and the answers" },
  { name: "Projects", description: "What the runs of a repository need: settings, variables, secrets" },
  { name: "Comments", description: "What the user says about lines and files of the work, for the agent" },
  { name: "Live", description: "Messages and changes of sessions as they happen, as Server-Sent Events" },
  {
    name: "Dead Letter Queue",
    description: "Work that failed permanently, until it is resolved, abandoned or retried",
  },
  { name: "Repositories", description: "What a new session may be about" },
  { name: "Usage", description: "What model calls have used and cost, and what they may still cost" },
  { name: "Me", description: "The current user and limits" },
  { name: "Sign-in", description: "Web sessions of browsers, by cookie" },
  { name: "System", description: "How the service is doing, for admins" },
  { name: "Audit", description: "Who did what to which, for admins" },
  { name: "Webhooks", description: "Callbacks of other services" },
  { name: "Health", description: "Health checks and build details" },
];

/** The OpenAPI 3.1 document of all routes of `app`, byte for byte as /openapi.json serves it. */
export async function openApiText(app: { handle(request: Request): Promise<Response> }): Promise<string> {
  return (await app.handle(new Request("http://localhost/openapi.json"))).text();
}

/** Serves /openapi.json, which covers all routes that `root` has when it is first requested, and the pages that show it. */
export function docs(version: string) {
  const content = createContentCache();
  return (root: AnyElysia) =>
    new Elysia({ name: "docs" })
      .get(
        "/openapi.json",
        async ({ request }) =>
          contentReply(request, "json", await content("openapi.json", () => generate(root, version))),
        { detail: { hide: true } },
      )
      .use(pages());
}

/** Runs the generator outside of the served app, because it adds a page that loads scripts from another host. */
async function generate(root: AnyElysia, version: string): Promise<string> {
  const described = new Elysia().use(generator(version)).use(root);
  const raw = await described.handle(new Request(`http://localhost${RAW_PATH}`));
  return `${JSON.stringify(normalizeOpenApi((await raw.json()) as RawDocument), null, 2)}\n`;
}

const RAW_PATH = "/openapi.raw";

const generator = (version: string) =>
  swagger({
    path: "/openapi.page",
    specPath: RAW_PATH,
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
          WebhookSecret: { type: "http", scheme: "bearer", description: "The value of WEBHOOK_SECRET" },
          WebhookSignature: {
            type: "apiKey",
            in: "header",
            name: "X-Webhook-Signature",
            description: "`sha256=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<body>`",
          },
          ForgeSignature: {
            type: "apiKey",
            in: "header",
            name: "X-Hub-Signature-256",
            description: "`sha256=` and the hexadecimal HMAC-SHA256 of the body, by FORGE_WEBHOOK_SECRET",
          },
          ForgeToken: {
            type: "apiKey",
            in: "header",
            name: "X-Gitlab-Token",
            description: "The value of FORGE_WEBHOOK_SECRET",
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
