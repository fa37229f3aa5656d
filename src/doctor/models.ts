import { MODEL_API_STYLES } from "../agents/model-apis.ts";
import { MODEL_APIS, type ModelApi } from "../db/columns.ts";
import type { ModelSource, ModelSources } from "../runs/model-sources.ts";
import { messageOf } from "../shared/errors.ts";
import { type Found, fail, ok } from "./finding.ts";
import { ANSWER_MS } from "./network.ts";

/** Below the base URL: what costs nothing and shows whether the key is accepted. */
const LIST: Readonly<Record<ModelApi, string>> = {
  anthropic: "/v1/models",
  openai: "/models",
  google: "/v1beta/models",
};

/** The checks of the APIs whose key is set. */
export const modelChecks = (sources: ModelSources) =>
  MODEL_APIS.flatMap((api) => {
    const source = sources[api];
    const { keyName, baseUrlNames } = MODEL_API_STYLES[api];
    const fix = `check ${keyName} and ${baseUrlNames[0]}`;
    return source ? [{ check: `model (${api})`, fix, find: () => modelFound(api, source, fix) }] : [];
  });

/** A gateway without the list of models answers as well as the API itself: its key is accepted or not at the first run. */
async function modelFound(api: ModelApi, { upstream, apiKey }: ModelSource, fix: string): Promise<Found> {
  const { keyHeader, keyName } = MODEL_API_STYLES[api];
  const { host } = new URL(upstream);
  try {
    const { ok: accepted, status } = await fetch(`${upstream}${LIST[api]}`, {
      headers: [[...keyHeader(apiKey.reveal())], ["anthropic-version", "2023-06-01"]],
      signal: AbortSignal.timeout(ANSWER_MS),
      // The key is sent to this host and nowhere else.
      redirect: "manual",
    });
    // Google answers 400 to an invalid key.
    if (status === 401 || status === 403 || (api === "google" && status === 400))
      return fail(`${host} refuses ${keyName} (${status})`, fix);
    return ok(accepted ? `${host} accepts ${keyName}` : `${host} answers (${status})`);
  } catch (error) {
    return fail(`${host} does not answer: ${messageOf(error)}`, fix);
  }
}
