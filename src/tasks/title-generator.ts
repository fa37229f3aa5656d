import { meteredFetch } from "../agents/metered-fetch.ts";
import { QUEUES } from "../queue/names.ts";
import { firstPromptOf, setGeneratedTitle } from "../sessions/store.ts";
import { generateTitle } from "../sessions/titles.ts";
import type { Denied } from "../spend/denials.ts";
import type { Task } from "./task.ts";

const CONCURRENCY = 2;
/** In the place of an agent's name, which it cannot be. */
const TITLES = "(titles)";

/** Generates titles of new sessions with a model. If that fails, the derived title stays. */
export const titleGenerator: Task = async ({ config, database, queue, spend, logger }) => {
  const { orm } = database;
  const { anthropicApiKey: apiKey, anthropicBaseUrl: baseUrl, titleModel: model } = config;
  const shutdown = new AbortController();
  /** Why the newest one was refused: said once, not for each session. */
  let said: string | undefined;
  const worker = queue.work({
    queue: QUEUES.sessionTitle,
    concurrency: CONCURRENCY,
    async handle({ session_id }) {
      const found = apiKey === undefined ? undefined : await firstPromptOf(orm, session_id);
      if (!found || apiKey === undefined) return;
      const { userId, repo } = found;
      const account = { promptId: undefined, epoch: 0, sessionId: session_id, userId, repo, agent: TITLES };
      let denied: Denied | undefined;
      const onDenied = (why: Denied) => {
        denied = why;
      };
      const title = await generateTitle({
        fetch: meteredFetch("anthropic", spend.meter({ api: "anthropic", account }), onDenied),
        apiKey,
        baseUrl,
        model,
        prompt: found.promptText,
        signal: shutdown.signal,
      }).catch((error: unknown) => {
        // What may be asked again is.
        if (denied === undefined || denied.retryAfterMs !== undefined) throw error;
        const reason = `${denied.denied} ${denied.scope}`;
        if (said !== reason) logger.info("titles are not generated", { reason: denied.message });
        said = reason;
        return null;
      });
      if (title === null) return;
      if (title) await setGeneratedTitle(orm, session_id, { from: found.derivedTitle, to: title });
      else logger.info("the model returned no title", { session_id });
    },
  });
  return {
    async stop() {
      shutdown.abort();
      await worker.stop();
    },
  };
};
