import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { ForgeCredential, ForgeHost } from "../../src/config/forge-hosts.ts";
import { Secret } from "../../src/shared/secret.ts";
import { installedOf, refusalOf, repositoriesOf, signatureRefusal, userOf } from "./github/access.ts";
import { APP_ANSWERS } from "./github/app.ts";
import { githubObjects, OPERATIONS } from "./github/objects.ts";
import { PULL_ANSWERS } from "./github/pulls.ts";
import { refusal, type StandInReply } from "./github/replies.ts";
import {
  newRepository,
  type StandInInstallation,
  type StandInRepository,
  type StandInToken,
} from "./github/state.ts";
import { type GithubDescription, githubDescription } from "./github-description.ts";
import { type OpenApiCheck, openApiCheck } from "./openapi-check.ts";

export interface StandInRequest {
  method: string;
  /** Beneath the API's URL. */
  path: string;
  query: URLSearchParams;
  body: unknown;
  /** What came after "token" or "bearer". */
  credential: string | undefined;
}

/** Comes before the stand-in's own answer. @param proceed makes that one. */
type Interception = (
  request: StandInRequest,
  proceed: () => Promise<StandInReply>,
) => StandInReply | Promise<StandInReply>;

const API = "/api/v3";
/** One that an operator gives may be beneath another path. */
const BENEATH_API = /^(?:\/\d+)?\/api\/v3(?=\/)/;
/** What GitHub answers anywhere, whether or not an operation's description lists it. */
const ANYWHERE = {
  statuses: [301, 307, 401, 403, 404, 429, 500, 502, 503],
  schema: { $ref: "#/components/schemas/basic-error" },
};

/** Compiled once in a process. */
const checks = new Map<GithubDescription, Promise<OpenApiCheck>>();

function describedBy(name: GithubDescription): Promise<OpenApiCheck> {
  const made =
    checks.get(name) ??
    githubDescription(name).then((description) =>
      openApiCheck({ description, operations: Object.values(OPERATIONS), anywhere: ANYWHERE }),
    );
  checks.set(name, made);
  return made;
}

/**
 * Stands in for GitHub on loopback, after its documentation. Every request that it receives and every reply that it gives is
 * checked against GitHub's own OpenAPI description: `stop` fails for what is not as described.
 * The descriptions are there already (`downloadGithubDescriptions`).
 * @param options.description default: that of github.com.
 */
export async function startGithubStandIn(options: { description?: GithubDescription } = {}) {
  const check = await describedBy(options.description ?? "api.github.com");
  const requests: StandInRequest[] = [];
  const violations: string[] = [];
  const repositories: StandInRepository[] = [];
  const tokens: StandInToken[] = [];
  const installations: StandInInstallation[] = [];
  let interceptions: { pattern: RegExp; answer: Interception }[] = [];
  let app: { appId: string; publicKey: KeyObject } | undefined;
  /** Milliseconds that its clock is ahead of this machine's. */
  let aheadMs = 0;
  const now = () => Date.now() + aheadMs;

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(incoming) {
      const { pathname, searchParams: query } = new URL(incoming.url);
      const text = await incoming.text();
      const request: StandInRequest = {
        method: incoming.method,
        path: pathname.replace(BENEATH_API, ""),
        query,
        body: text === "" ? undefined : JSON.parse(text),
        credential: /^(?:token|bearer) (.+)$/i.exec(incoming.headers.get("authorization") ?? "")?.[1],
      };
      requests.push(request);
      const reply = await replyTo(request);
      const headers = new Headers({ date: new Date(now()).toUTCString(), ...reply.headers });
      if (typeof reply.body === "string") return new Response(reply.body, { status: reply.status, headers });
      return Response.json(reply.body ?? null, { status: reply.status, headers });
    },
  });
  const url = `http://127.0.0.1:${server.port}`;
  const objects = githubObjects(check, url);

  async function replyTo(request: StandInRequest): Promise<StandInReply> {
    const wrong = check.violationsOfRequest(request);
    violations.push(...wrong);
    if (wrong.length > 0) return { status: 500, body: { message: wrong.join("; ") } };
    const line = `${request.method} ${request.path}`;
    const interception = interceptions.find(({ pattern }) => pattern.test(line));
    interceptions = interceptions.filter((one) => one !== interception);
    const proceed = () => answer(request);
    const reply = await (interception ? interception.answer(request, proceed) : proceed());
    if (!reply.hostile)
      violations.push(...check.violationsOfReply(request, { status: reply.status, body: reply.body }));
    return reply;
  }

  async function answer({ method, path, query, body, credential }: StandInRequest): Promise<StandInReply> {
    const found = check.operationOf({ method, path });
    if (!found) return refusal(404, "Not Found");
    const { operation, parameters } = found;
    const asApp = APP_ANSWERS[operation];
    if (asApp) {
      const keep = (token: StandInToken) => void tokens.push(token);
      const call = { parameters, body, objects, repositories, installations, now: now(), keep };
      return (await signatureRefusal(credential, app, now())) ?? asApp(call);
    }
    const token = tokens.find(({ value, expiresAt }) => value === credential && expiresAt > now());
    if (credential && !token) return refusal(401, "Bad credentials");
    if (operation === OPERATIONS.user) return userOf(token, objects);
    if (operation === OPERATIONS.repositories) return repositoriesOf(token, repositories, objects);
    if (operation === OPERATIONS.installed) return installedOf(token, repositories, objects);
    const wanted = `${parameters["owner"]}/${parameters["repo"]}`.toLowerCase();
    const repository = repositories.find((one) => one.path.toLowerCase() === wanted);
    const refused = refusalOf(operation, token, repository);
    if (refused || !repository) return refused ?? refusal(404, "Not Found");
    const respond = PULL_ANSWERS[operation];
    if (!respond) throw new Error(`the stand-in has no answer for ${operation}`);
    return respond({ repository, token, parameters, query, body, objects });
  }

  return {
    /** Of repositories: with an owner/name. */
    url,
    /** In the order in which they came. */
    requests: requests as readonly StandInRequest[],
    /** All of them, those of the app included. */
    tokens: tokens as readonly StandInToken[],

    host: (credential?: ForgeCredential): ForgeHost => ({
      kind: "github",
      url,
      apiUrl: `${url}${API}`,
      credential,
      setting: "FORGES",
    }),

    addRepository(path: string, given: Partial<StandInRepository> = {}): StandInRepository {
      const repository = newRepository(repositories.length + 1, path, given);
      repositories.push(repository);
      return repository;
    },

    /** A personal access token; default: one that may do all. */
    addToken(given: Partial<Pick<StandInToken, "login" | "repositories" | "permissions" | "scopes">> = {}) {
      const value = `github_pat_${crypto.randomUUID().replaceAll("-", "")}`;
      const common = { value, installation: undefined, expiresAt: Number.POSITIVE_INFINITY };
      tokens.push({ login: "robot", repositories: undefined, permissions: undefined, ...given, ...common });
      return { kind: "token" as const, token: new Secret(value) };
    },

    /** The one GitHub App, and where it is installed. @param given.format of its key; GitHub's own is pkcs1. */
    addApp(given: { installations: StandInInstallation[]; format?: "pkcs1" | "pkcs8" }) {
      const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
      const privateKey = pair.privateKey.export({ type: given.format ?? "pkcs1", format: "pem" }) as string;
      app = { appId: "4711", publicKey: pair.publicKey };
      installations.push(...given.installations);
      return { kind: "app" as const, appId: app.appId, privateKey: new Secret(privateKey) };
    },

    /** From now on tokens of the app that were made before are refused. */
    expireAppTokens() {
      for (const token of tokens) if (token.installation !== undefined) token.expiresAt = 0;
    },

    setClock(ms: { ahead: number }) {
      aheadMs = ms.ahead;
    },

    /**
     * Answers the next request whose method and path match in another way.
     * @param pattern of "POST /repos/owner/name/pulls".
     */
    once(pattern: RegExp, reply: StandInReply | Interception) {
      interceptions.push({ pattern, answer: typeof reply === "function" ? reply : () => reply });
    },

    /** @throws Error for requests and replies that are not as GitHub describes them. */
    async stop() {
      await server.stop(true);
      if (violations.length > 0)
        throw new Error(`not as GitHub describes it:\n${violations.map((one) => `  ${one}`).join("\n")}`);
    },
  };
}
export type GithubStandIn = Awaited<ReturnType<typeof startGithubStandIn>>;
