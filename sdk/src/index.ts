export { APIPromise, type WithResponse } from "./api-promise.js";
export { PromptBackend, type PromptBackendOptions } from "./client.js";
export type { CreateOptions, RequestOptions } from "./core.js";
export * from "./errors.js";
export type { EventsOptions, SessionEvent, UserEvent } from "./events.js";
export { PromptBackendApi } from "./generated/sdk.gen.js";
export type * from "./generated/types.gen.js";
export { Page, PagePromise } from "./page.js";
export type { AuditListParams } from "./resources/audit.js";
export type { CommentListParams } from "./resources/comments.js";
export type { DeadLetterListParams } from "./resources/dead-letters.js";
export type { MessageListParams } from "./resources/messages.js";
export type { PermissionListParams } from "./resources/permissions.js";
export type { ProjectListParams } from "./resources/projects.js";
export type { PromptListParams, SteerListParams } from "./resources/prompts.js";
export type { RepositoryListParams } from "./resources/repositories.js";
export type {
  EffectListParams,
  EgressListParams,
  SessionListParams,
  SessionUpdateParams,
} from "./resources/sessions.js";
export type { UsageListParams } from "./resources/usage.js";
export { RunFailedError, type RunOptions, type RunParams, SessionRun } from "./run.js";
export type { TokenReason, TokenSource } from "./transport.js";
export type { Backoff } from "./wait.js";
