import type { ModelApi } from "../db/columns.ts";
import type { Metrics } from "../observability/metrics.ts";
import { type AnswerSoFar, isEventStream, NO_ANSWER, readAnswer } from "./answers.ts";
import { type Denied, denialOf } from "./denials.ts";
import { type InputBound, inputOf, splitLike } from "./input-bound.ts";
import { UnreadableBody } from "./json-object.ts";
import type { Ledger } from "./ledger.ts";
import { NANO } from "./money.ts";
import { addTokens, costOf, NO_TOKENS, type Prices, type Tokens, worstCost } from "./prices.ts";
import { createProgress } from "./progress.ts";
import { type ModelRequest, readRequest } from "./requests.ts";
import type { Account, CallResult, Refusal, Scope } from "./store.ts";

/** What this deployment allows. Money is in billionths of a US dollar; undefined: no limit. */
export interface SpendRules {
  prices: Prices;
  limits: Partial<Record<Scope, number>>;
  /** The most calls of a run. */
  mostCalls: number | undefined;
  /** The most calls of an API at a time, of all nodes. */
  mostOpen: number | undefined;
  /** Models that may be used; an asterisk stands for any characters. */
  models: readonly string[];
}

/** One call, from its reservation to its end. */
export interface MeteredCall {
  /** The API has answered: what follows of its body is to be pushed. */
  answered(answer: { status: number; contentType: string; retryAfterMs: number | undefined }): void;
  push(chunk: Uint8Array): void;
  /**
   * - whole: the body has ended.  - broken: it broke off, or who asked went away.  - unreachable: no answer came, and none will.
   * Stores what it has cost. Idempotent.
   */
  end(how: "whole" | "broken" | "unreachable"): Promise<void>;
}

export interface Meter {
  /** @throws what `signal` aborted with. */
  begin(request: { path: string; body: Uint8Array; signal: AbortSignal }): Promise<MeteredCall | Denied>;
}

/** Characters of a token, about. */
const TOKEN_CHARACTERS = 4;
/** How fast models write, about: of an answer that is not streamed nothing is seen before its end. */
const TOKENS_PER_SECOND = 80;
const FREE = { most: 0, likely: NO_TOKENS, isKnown: true };
const OVERLOADED: ReadonlySet<number> = new Set([429, 503, 529]);

/**
 * Meters the calls of one run, or of the service itself.
 * @param options.limits of this run, where it has its own.
 */
export function createMeter(options: {
  api: ModelApi;
  account: Account;
  rules: SpendRules;
  limits?: Partial<Record<Scope, number>>;
  inputBound: InputBound;
  ledger: Ledger;
  metrics: Pick<Metrics, "modelCall" | "modelCallRefused">;
}): Meter {
  const { api, account, rules, inputBound, ledger, metrics } = options;
  const limits = { ...rules.limits, ...options.limits };
  const refuse = (denial: Denied): Denied => {
    metrics.modelCallRefused(denial.denied);
    return denial;
  };
  const deny = (denied: Denied["denied"], message: string, retryAfterMs?: number) =>
    refuse({ denied, message, ...(retryAfterMs !== undefined && { retryAfterMs }) });

  return {
    async begin({ path, body, signal }) {
      const began = new Date();
      let request: ModelRequest;
      try {
        request = readRequest(api, path, body);
      } catch (error) {
        if (error instanceof UnreadableBody) return deny("invalid", error.message);
        throw error;
      }
      const { model, isFree, bringsMore, maxOutput, answers } = request;
      const { most, likely, isKnown } = isFree ? FREE : inputBound.of(model, body);
      let amount = 0;
      for (const one of [{ model, uses: 1 }, ...request.others]) {
        if (!isAllowed(one.model, rules.models))
          return deny("model", `The model ${one.model} may not be used here (MODELS_ALLOWED).`);
        const price = rules.prices.of(one.model, began);
        if (!price)
          return deny(
            "model",
            `What the model ${one.model} costs is not known here, so that it may not be used (MODEL_PRICES).`,
          );
        const input = bringsMore ? price.context : Math.min(most + request.pictures, price.context);
        const output = (maxOutput ?? price.max_output) * answers;
        const tiers = Object.values(request.tiers);
        if (!isFree) amount += one.uses * worstCost(price, { ...request, input, output, tiers });
      }
      const call = { ...account, id: Bun.randomUUIDv7(), api, model };
      let refusal: Refusal | undefined;
      try {
        refusal = await ledger.reserve(
          {
            ...{ ...call, amount, inputEstimate: inputOf(likely), limits },
            conversation: request.conversation,
            ...{ mostCalls: rules.mostCalls, mostOpen: rules.mostOpen },
          },
          signal,
        );
      } catch {
        signal.throwIfAborted();
        // Why is in the log, and not for an agent.
        return deny("unavailable", "The budget of this call cannot be checked now. Try again later.", 2_000);
      }
      if (refusal) return refuse(denialOf(refusal));
      return openCall({ call, request, began, body, likely, isKnown });
    },
  };

  function openCall(its: {
    call: Account & { id: string; api: ModelApi; model: string };
    request: ModelRequest;
    began: Date;
    body: Uint8Array;
    /** Its input, while the API has not said it; not `isKnown`: by its size alone. */
    likely: Tokens;
    isKnown: boolean;
  }): MeteredCall {
    const { call, request, began, body, isKnown } = its;
    let { likely } = its;
    const { isFree } = request;
    let answer: { status: number; retryAfterMs: number | undefined } | undefined;
    let reader: ReturnType<typeof readAnswer> | undefined;
    let passesAsWritten = request.isStreamed;
    let knowsInput = false;
    /** Characters of its output. */
    let passed = 0;
    let firstOutputMs: number | undefined;
    let ended: Promise<void> | undefined;
    const sinceBegan = () => Date.now() - began.getTime();
    const isOk = () => answer !== undefined && answer.status < 400;
    const progress = createProgress({
      used: () => usedIn(reader?.soFar() ?? NO_ANSWER, likely),
      // Whoever finds it lost must know its price.
      record: (tokens) =>
        ledger.progress(() => {
          const model = priced(reader?.soFar().model) ?? request.model;
          return { id: call.id, model, tokens: tokens() };
        }),
    });
    const priced = (name: string | undefined) =>
      name !== undefined && rules.prices.knows(name) ? name : undefined;

    const result = (how: "whole" | "broken" | "unreachable"): CallResult => {
      const found = reader?.soFar() ?? NO_ANSWER;
      const { isComplete, knowsInput: counted, error } = found;
      const model = found.model ?? request.model;
      // What was asked and not answered with an error may be on the bill; who declines before the first word takes nothing for it.
      const isDeclined = found.isRefused && found.characters === 0;
      const costs = !isFree && !isDeclined && (isOk() || (how === "broken" && answer === undefined));
      const estimated = costs && !(counted && isComplete);
      const tiers = Object.values({ ...request.tiers, ...found.tiers });
      const used = usedIn(found, likely);
      if (how === "broken" && !isComplete && !passesAsWritten) {
        const written = Math.ceil((sinceBegan() / 1000) * TOKENS_PER_SECOND);
        used.output = Math.max(used.output, Math.min(written, request.maxOutput ?? written));
      }
      const uses = costs ? [{ model, tokens: used }, ...found.besides] : [];
      const cost = uses.reduce((sum, one) => {
        const price = rules.prices.of(priced(one.model) ?? priced(model) ?? request.model, began);
        return sum + (price ? costOf(price, one.tokens, tiers) : 0);
      }, 0);
      const isBroken = (how === "broken" || error !== undefined) && !isComplete;
      const status = isBroken ? "broken" : isOk() ? "done" : "failed";
      return {
        ...{ ...call, model, status, httpStatus: answer?.status, cost, estimated },
        tokens: uses.reduce<Tokens>((sum, { tokens }) => addTokens(sum, tokens), NO_TOKENS),
        ...{ firstOutputMs, durationMs: sinceBegan(), startedAt: began },
        overloaded: OVERLOADED.has(answer?.status ?? 0) || error === "overloaded",
        retryAfterMs: answer?.retryAfterMs,
      };
    };

    return {
      answered({ status, contentType, retryAfterMs }) {
        answer = { status, retryAfterMs };
        passesAsWritten ||= isEventStream(contentType);
        if (status < 400 && !isFree) reader = readAnswer(api, contentType);
      },
      push(chunk) {
        if (!reader || ended) return;
        reader.push(chunk);
        const soFar = reader.soFar();
        if (soFar.characters > 0) firstOutputMs ??= sinceBegan();
        if (soFar.characters > passed) progress.grew();
        passed = soFar.characters;
        if (knowsInput || !soFar.knowsInput) return;
        knowsInput = true;
        inputBound.learn(request.model, body, soFar.tokens);
        progress.begin();
      },
      end(how) {
        ended ??= (async () => {
          progress.end();
          reader?.end();
          // As for those that are lost: what another process or an earlier run has cached is read.
          if (!isKnown && !reader?.soFar().knowsInput) {
            const before = await ledger.before(call.id);
            if (before) likely = splitLike(before.tokens, inputOf(likely), before.share);
          }
          const settled = result(how);
          // It may have been cached: whoever sends the same again then reads it.
          if (settled.estimated && !knowsInput) inputBound.learn(request.model, body, likely, false);
          metrics.modelCall({
            ...{
              api,
              model: rules.prices.label(settled.model),
              status: settled.status,
              tokens: settled.tokens,
            },
            costUsd: settled.cost / NANO,
            firstOutputSeconds: firstOutputMs === undefined ? undefined : firstOutputMs / 1000,
          });
          await ledger.settle(settled);
        })();
        return ended;
      },
    };
  }
}

/** What was delivered is counted; of the rest, what there is to go by. */
function usedIn(found: AnswerSoFar, likely: Tokens): Tokens {
  const { tokens, knowsInput, isComplete, characters } = found;
  const output = isComplete
    ? tokens.output
    : Math.max(tokens.output, Math.ceil(characters / TOKEN_CHARACTERS));
  return { ...(knowsInput ? tokens : { ...likely, webSearches: tokens.webSearches }), output };
}

/** An asterisk stands for any characters. */
export const isAllowed = (model: string, patterns: readonly string[]): boolean =>
  patterns.some((pattern) => {
    const [first = "", ...rest] = pattern.split("*");
    if (rest.length === 0) return model === pattern;
    // One asterisk is all that a list of models needs.
    return model.startsWith(first) && model.slice(first.length).endsWith(rest.join("*"));
  });
