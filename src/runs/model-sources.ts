import type { Config } from "../config/config.ts";
import type { ModelApi } from "../db/columns.ts";
import type { Secret } from "../shared/secret.ts";

export interface ModelSource {
  /** Base URL of the API, as its clients have it. */
  upstream: string;
  apiKey: Secret;
}

/** Undefined: there is no key, and agents that need this API cannot run. */
export type ModelSources = Readonly<Record<ModelApi, ModelSource | undefined>>;

/** The model of one run. */
export type RunModel = ModelSource & { api: ModelApi };

export function modelSources(config: Config): ModelSources {
  const source = (apiKey: Secret | undefined, upstream: string) => apiKey && { upstream, apiKey };
  return {
    anthropic: source(config.anthropicApiKey, config.anthropicBaseUrl),
    openai: source(config.openaiApiKey, config.openaiBaseUrl),
    google: source(config.geminiApiKey, config.geminiBaseUrl),
  };
}
