import type { Core } from "./core.js";
import { unreadableReply } from "./errors.js";
import { createClient } from "./generated/client/index.js";
import { PromptBackendApi } from "./generated/sdk.gen.js";
import { Agents } from "./resources/agents.js";
import { Audit } from "./resources/audit.js";
import { Auth } from "./resources/auth.js";
import { Comments } from "./resources/comments.js";
import { DeadLetters } from "./resources/dead-letters.js";
import { Events } from "./resources/events.js";
import { Messages } from "./resources/messages.js";
import { Permissions } from "./resources/permissions.js";
import { Projects } from "./resources/projects.js";
import { Prompts } from "./resources/prompts.js";
import { Repositories } from "./resources/repositories.js";
import { Health, Me, Webhooks } from "./resources/service.js";
import { Sessions } from "./resources/sessions.js";
import { System } from "./resources/system.js";
import { Usage } from "./resources/usage.js";
import { createTransport, placeToken, type TokenSource } from "./transport.js";
import { userAgent } from "./user-agent.js";
import type { Backoff } from "./wait.js";

export interface PromptBackendOptions {
  /** URL of the service, e.g. http://127.0.0.1:8000. In a browser also a path of the page's own origin. */
  baseUrl: string;
  /**
   * A token, or a function that returns one. It is called for each request, since tokens expire, and once more with
   * `rejected` when the service answers 401. Without a token: for a service with AUTH_MODE=none.
   */
  token?: string | TokenSource | undefined;
  /**
   * For pages of the service itself, which its cookie signs in: returns the `csrf_token` of `auth.session()`, which is sent
   * with requests that may change something.
   */
  csrfToken?: (() => string | undefined) | undefined;
  /** Milliseconds for each attempt of a request, to the last byte of the reply. Default: 60,000 */
  timeout?: number | undefined;
  /** Retries after connection errors and replies with 408, 429 or 5xx. Default: 2 */
  maxRetries?: number | undefined;
  /** Delays between retries and before reconnects where the service names none. Default: 500 ms, doubled up to 8 s */
  backoff?: Backoff | undefined;
  /** Sent with every request. */
  defaultHeaders?: Record<string, string> | undefined;
  /** Instead of the global `fetch`; called with a URL and its options. */
  fetch?: typeof fetch | undefined;
}

const DEFAULTS = { timeout: 60_000, maxRetries: 2, backoff: { first: 500, longest: 8_000 } };

/** A client of prompt-backend. Opens no connection by itself. */
export class PromptBackend {
  readonly sessions: Sessions;
  readonly prompts: Prompts;
  readonly messages: Messages;
  readonly permissions: Permissions;
  readonly comments: Comments;
  readonly projects: Projects;
  readonly events: Events;
  readonly deadLetters: DeadLetters;
  readonly usage: Usage;
  readonly audit: Audit;
  readonly system: System;
  readonly agents: Agents;
  readonly repositories: Repositories;
  readonly auth: Auth;
  readonly me: Me;
  readonly health: Health;
  readonly webhooks: Webhooks;
  /** The generated methods: one per operation, named by its operationId. Retries and errors are the same. */
  readonly api: PromptBackendApi;

  constructor(options: PromptBackendOptions) {
    const core = createCore(options);
    this.api = core.api;
    this.prompts = new Prompts(core);
    this.events = new Events(core);
    this.sessions = new Sessions(core, { prompts: this.prompts, events: this.events });
    this.messages = new Messages(core);
    this.permissions = new Permissions(core);
    this.comments = new Comments(core);
    this.projects = new Projects(core);
    this.deadLetters = new DeadLetters(core);
    this.usage = new Usage(core);
    this.audit = new Audit(core);
    this.system = new System(core);
    this.agents = new Agents(core);
    this.repositories = new Repositories(core);
    this.auth = new Auth(core);
    this.me = new Me(core);
    this.health = new Health(core);
    this.webhooks = new Webhooks(core);
  }
}

function createCore(options: PromptBackendOptions): Core {
  const { token, csrfToken, timeout, maxRetries, backoff = DEFAULTS.backoff, defaultHeaders } = options;
  const send = createTransport({
    token,
    csrfToken,
    timeout: timeout ?? DEFAULTS.timeout,
    maxRetries: maxRetries ?? DEFAULTS.maxRetries,
    backoff,
    // Looked up for each request, since tools replace it; browsers refuse to call it as a method.
    fetch: options.fetch ?? ((...request) => fetch(...request)),
  });
  const agent = userAgent();
  const client = createClient({
    baseUrl: checkBaseUrl(options.baseUrl),
    headers: { ...(agent !== undefined && { "user-agent": agent }), ...defaultHeaders },
    fetch: (request) => send(request as Request),
    ...(token !== undefined && { auth: placeToken }),
    parseAs: "json",
    throwOnError: true,
  });
  client.interceptors.error.use((error, response) =>
    error instanceof SyntaxError && response ? unreadableReply(response) : error,
  );
  return { api: new PromptBackendApi({ client }), client, send, backoff };
}

/** Errors of `fetch` would show a password in the URL. */
function checkBaseUrl(text: string): string {
  const { location } = globalThis as { location?: { origin: string } };
  try {
    const { protocol, username, password, origin, pathname } = new URL(text, location?.origin);
    if (/^https?:$/.test(protocol) && username === "" && password === "")
      return `${origin}${pathname}`.replace(/\/+$/, "");
  } catch {
    // Its error would show the text.
  }
  throw new TypeError("baseUrl: must be an http or https URL without a user, such as http://127.0.0.1:8000.");
}
