import type { APIPromise } from "../api-promise.js";
import type { Core, CreateOptions, RequestOptions } from "../core.js";
import type {
  CancelSessionOutput,
  ChangePullRequestOutput,
  CommitDto,
  CreatePullRequestInput,
  CreateSessionInput,
  CreateSessionOutput,
  CreateSessionWithPromptInput,
  CreateSessionWithPromptOutput,
  DeleteSessionOutput,
  DiffOutput,
  EffectDto,
  EgressRequestDto,
  ForkSessionInput,
  ForkSessionOutput,
  HandlersSessionsDiffData,
  HandlersSessionsGetProvenanceData,
  HandlersSessionsListCommitsData,
  HandlersSessionsListData,
  HandlersSessionsListEffectsData,
  HandlersSessionsListEgressData,
  HandlersSessionsReadFilesData,
  ListFilesOutput,
  MarkSessionSeenInput,
  MarkSessionSeenOutput,
  MergePullRequestInput,
  ProvenanceEnvelope,
  PushSessionOutput,
  ReadPullRequestOutput,
  SessionDto,
  SyncSessionInput,
  SyncSessionOutput,
  UpdateSessionInput,
  UpdateSessionOutput,
} from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { type RunOptions, type RunParams, SessionRun } from "../run.js";
import type { Events } from "./events.js";
import type { Prompts } from "./prompts.js";
import { checkId, PAGE, Resource } from "./resource.js";

export type SessionListParams = NonNullable<HandlersSessionsListData["query"]>;
export type EgressListParams = NonNullable<HandlersSessionsListEgressData["query"]>;
export type ProvenanceParams = NonNullable<HandlersSessionsGetProvenanceData["query"]>;
export type DiffParams = NonNullable<HandlersSessionsDiffData["query"]>;
export type CommitListParams = NonNullable<HandlersSessionsListCommitsData["query"]>;
export type FileParams = NonNullable<HandlersSessionsReadFilesData["query"]>;
export type EffectListParams = NonNullable<HandlersSessionsListEffectsData["query"]>;
export type SessionUpdateParams = Omit<UpdateSessionInput, "id">;

export class Sessions extends Resource {
  readonly #prompts: Prompts;
  readonly #events: Events;

  constructor(core: Core, others: { prompts: Prompts; events: Events }) {
    super(core);
    this.#prompts = others.prompts;
    this.#events = others.events;
  }

  /** Creates a session. Messages, if any, become its first prompt, which is queued at once. */
  create(params: CreateSessionInput, options?: CreateOptions): APIPromise<CreateSessionOutput> {
    return this.request(options, (init) => this.api.handlersSessionsCreate({ body: params, ...init }));
  }

  /** Creates a session and queues its first prompt. */
  createWithPrompt(
    params: CreateSessionWithPromptInput,
    options?: CreateOptions,
  ): APIPromise<CreateSessionWithPromptOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsCreateWithPrompt({ body: params, ...init }),
    );
  }

  /**
   * Creates a session, and waits until its first prompt has ended and the session wants review.
   * Resolves with the session and its conversation; rejects with RunFailedError if the prompt failed or was cancelled.
   */
  run(params: RunParams, options?: RunOptions): SessionRun {
    return new SessionRun({ sessions: this, prompts: this.#prompts, events: this.#events }, params, options);
  }

  /** Your sessions, newest first, without their conversations. */
  list(params?: SessionListParams, options?: RequestOptions): PagePromise<SessionDto> {
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersSessionsList({ query, ...init }),
      ({ sessions }) => sessions,
    );
  }

  /** One session, with its conversation. */
  retrieve(id: string, options?: RequestOptions): APIPromise<SessionDto> {
    return this.request(
      options,
      (init) => this.api.handlersSessionsRead({ path: { id: checkId(id) }, ...init }),
      ({ session }) => session,
    );
  }

  /** Changes what is given. */
  update(id: string, params: SessionUpdateParams, options?: RequestOptions): APIPromise<UpdateSessionOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsUpdate({ path: { id: checkId(id) }, body: { ...params, id }, ...init }),
    );
  }

  /** Archives a session. `update(id, { ui_status: "NeedsReview" })` takes it up again, as does a new prompt. */
  archive(id: string, options?: RequestOptions): APIPromise<UpdateSessionOutput> {
    return this.update(id, { ui_status: "Archived" }, options);
  }

  /** Marks a session as seen: `unread` is false until its next run ends. With `{ unread: true }`: as not seen. */
  markSeen(
    id: string,
    params: MarkSessionSeenInput = {},
    options?: RequestOptions,
  ): APIPromise<MarkSessionSeenOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsSeen({ path: { id: checkId(id) }, body: params, ...init }),
    );
  }

  /** Cancels what runs and what waits. A new prompt continues the session. */
  cancel(id: string, options?: RequestOptions): APIPromise<CancelSessionOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsCancel({ path: { id: checkId(id) }, ...init }),
    );
  }

  /** Creates a session that goes on from the end of one of this session's prompts; by default the last that has ended. */
  fork(id: string, params: ForkSessionInput = {}, options?: CreateOptions): APIPromise<ForkSessionOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsFork({ path: { id: checkId(id) }, body: params, ...init }),
    );
  }

  /** Queues a push of the session's branch, for work that could not be pushed. */
  push(id: string, options?: CreateOptions): APIPromise<PushSessionOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsPush({ path: { id: checkId(id) }, ...init }),
    );
  }

  /** Takes the target branch into the session's branch, if git can do it; else `suggested_prompt` is for the agent. */
  sync(id: string, params: SyncSessionInput = {}, options?: CreateOptions): APIPromise<SyncSessionOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsSync({ path: { id: checkId(id) }, body: params, ...init }),
    );
  }

  /** Deletes a session, and cancels what runs. */
  delete(id: string, options?: RequestOptions): APIPromise<DeleteSessionOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsDelete({ path: { id: checkId(id) }, ...init }),
    );
  }

  /** What was done in a session, or by one of its prompts: files with their hunks, and whether it can be merged. */
  diff(id: string, params?: DiffParams, options?: RequestOptions): APIPromise<DiffOutput> {
    return this.request(
      options,
      (init) => this.api.handlersSessionsDiff({ path: { id: checkId(id) }, query: params, ...init }),
      (data) => data as DiffOutput,
    );
  }

  /** The same as a patch, for `git apply`. */
  patch(id: string, params?: DiffParams, options?: RequestOptions): APIPromise<string> {
    const as = (init: { headers: Record<string, string> }) => ({
      ...{ headers: { ...init.headers, accept: "text/x-diff" }, parseAs: "text" as const },
    });
    return this.request(
      options,
      (init) =>
        this.api.handlersSessionsDiff({ path: { id: checkId(id) }, query: params, ...init, ...as(init) }),
      (data) => data as unknown as string,
    );
  }

  /** The commits of a session's branch that its target branch lacks, newest first. */
  listCommits(id: string, params?: CommitListParams, options?: RequestOptions): PagePromise<CommitDto> {
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersSessionsListCommits({ path: { id: checkId(id) }, query, ...init }),
      ({ commits }) => commits,
    );
  }

  /** What a folder of a session's branch has; by default its root. */
  listFiles(id: string, params?: FileParams, options?: RequestOptions): APIPromise<ListFilesOutput> {
    return this.request(
      options,
      (init) => this.api.handlersSessionsReadFiles({ path: { id: checkId(id) }, query: params, ...init }),
      (data) => data as ListFilesOutput,
    );
  }

  /** A file of a session's branch, or some of its lines. */
  readFile(id: string, params: FileParams & { path: string }, options?: RequestOptions): APIPromise<Blob> {
    return this.request(
      options,
      (init) =>
        this.api.handlersSessionsReadFiles({
          ...{ path: { id: checkId(id) }, query: params, parseAs: "blob" },
          ...init,
        }),
      (data) => data as unknown as Blob,
    );
  }

  /** What was signed about the commits of a run: of the last one that made some, or of `prompt_id`. */
  provenance(
    id: string,
    params?: ProvenanceParams,
    options?: RequestOptions,
  ): APIPromise<ProvenanceEnvelope> {
    return this.request(options, (init) =>
      this.api.handlersSessionsGetProvenance({
        path: { id: checkId(id) },
        ...(params && { query: params }),
        ...init,
      }),
    );
  }

  /** The public key of the provenance, in PEM. */
  provenanceKey(options?: RequestOptions): APIPromise<string> {
    return this.request(options, (init) => this.api.handlersProvenanceKey({ parseAs: "text", ...init }));
  }

  /** What a session's agents asked for on the network. */
  listEgress(id: string, params?: EgressListParams, options?: RequestOptions): PagePromise<EgressRequestDto> {
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersSessionsListEgress({ path: { id: checkId(id) }, query, ...init }),
      ({ requests }) => requests,
    );
  }

  /** What was done outside for a session, or is about to be: pushes, pull requests, merges. */
  listEffects(id: string, params?: EffectListParams, options?: RequestOptions): PagePromise<EffectDto> {
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersSessionsListEffects({ path: { id: checkId(id) }, query, ...init }),
      ({ effects }) => effects,
    );
  }

  /** Creates the session's pull request, or returns the one that it has. `pull_request` is null while it is under way. */
  createPullRequest(
    id: string,
    params: CreatePullRequestInput = {},
    options?: CreateOptions,
  ): APIPromise<ChangePullRequestOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsCreatePullRequest({ path: { id: checkId(id) }, body: params, ...init }),
    );
  }

  /** The session's pull request, with its checks and reviews; null if it has none. */
  retrievePullRequest(id: string, options?: RequestOptions): APIPromise<ReadPullRequestOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsGetPullRequest({ path: { id: checkId(id) }, ...init }),
    );
  }

  /** Merges the session's pull request, at `head` alone; without it, at the one that `retrievePullRequest` has shown last. */
  merge(
    id: string,
    params: MergePullRequestInput = {},
    options?: CreateOptions,
  ): APIPromise<ChangePullRequestOutput> {
    return this.request(options, (init) =>
      this.api.handlersSessionsMerge({ path: { id: checkId(id) }, body: params, ...init }),
    );
  }
}
