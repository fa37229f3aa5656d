import type { HighlightReply, HighlightRequest, Token } from "./tokens.ts";

/** Longer code stays plain. */
const MAX_CHARS = 60_000;
/** Some code takes a grammar's regular expressions for ever: then the worker is ended, and the code stays plain. */
const TIMEOUT_MS = 2_000;
/** The first reply comes after the worker's script was loaded. */
const START_TIMEOUT_MS = 15_000;
/** Most results that are remembered: what is scrolled out of sight and back is not done again. */
const REMEMBERED = 400;

interface Waiting {
  request: HighlightRequest;
  done: (lines: Token[][] | undefined) => void;
}

/** Served by the console under this name; .ci/console.ts bundles it. */
const WORKER_URL = "/console/highlight.worker.js";

let worker: Worker | undefined;
/** It has replied since it was started. */
let ready = false;
let working: { id: number; timer: ReturnType<typeof setTimeout> } | undefined;
let nextId = 0;
const waiting = new Map<number, Waiting>();
const remembered = new Map<string, Promise<Token[][] | undefined>>();

/** The tokens of each line of code; undefined where it stays plain. @param language a name of highlight.js. */
export function highlight(text: string, language: string | undefined): Promise<Token[][] | undefined> {
  if (language === undefined || text.length > MAX_CHARS) return PLAIN;
  const key = `${language}\n${text}`;
  const known = remembered.get(key);
  if (known) return known;
  const { promise, resolve } = Promise.withResolvers<Token[][] | undefined>();
  const id = nextId++;
  waiting.set(id, { request: { id, text, language }, done: resolve });
  remembered.set(key, promise);
  for (const oldest of remembered.keys()) {
    if (remembered.size <= REMEMBERED) break;
    remembered.delete(oldest);
  }
  sendNext();
  return promise;
}

const PLAIN = Promise.resolve(undefined);

/** One at a time, so that each has its own time limit; the newest first, since that is what is seen. */
function sendNext(): void {
  const next = [...waiting.values()].at(-1);
  if (working || !next) return;
  worker ??= start();
  working = { id: next.request.id, timer: setTimeout(giveUp, ready ? TIMEOUT_MS : START_TIMEOUT_MS) };
  worker.postMessage(next.request);
}

function start(): Worker {
  const started = new Worker(trusted(WORKER_URL));
  started.onmessage = ({ data }: MessageEvent<HighlightReply>) => {
    ready = true;
    finish(data.id, data.lines);
  };
  started.onerror = () => giveUp();
  return started;
}

function giveUp(): void {
  worker?.terminate();
  worker = undefined;
  ready = false;
  if (working) finish(working.id, undefined);
}

function finish(id: number, lines: Token[][] | undefined): void {
  if (working?.id === id) {
    clearTimeout(working.timer);
    working = undefined;
  }
  waiting.get(id)?.done(lines);
  waiting.delete(id);
  sendNext();
}

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): {
    createScriptURL(url: string): string;
  };
}

/** The page's policy asks for a trusted URL, where the browser knows such. This one is a constant. */
function trusted(url: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  if (!trustedTypes) return url;
  policy ??= trustedTypes.createPolicy("highlight-worker", {
    createScriptURL(url) {
      if (url !== WORKER_URL) throw new TypeError(`not a worker of this page: ${url}`);
      return url;
    },
  });
  return policy.createScriptURL(url);
}

let policy: ReturnType<TrustedTypes["createPolicy"]> | undefined;
