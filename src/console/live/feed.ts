import type { PromptBackend, UserEvent } from "../../../sdk/src/index.ts";
import { asLeader } from "./leader.ts";

/** A stream that was refused is asked for again after this time, in milliseconds. */
const PAUSE_MS = 3_000;

/** What all tabs of a user hear. */
type Heard = { event: UserEvent } | { back: true } | { refused: true };
/** What has come together is passed on together: a stream that begins with thousands of sessions would hold up the page. */
type Message = readonly Heard[];

export interface FeedHandlers {
  onEvent(event: UserEvent): void;
  /** The connection was lost and is back: what is not part of the stream may have changed. */
  onBack(): void;
  /** The service refuses the stream, most often since the sign-in has ended. It is asked for again after a pause. */
  onRefused(): void;
}

/**
 * The user's event stream, read by one tab and passed on to the others. Nothing is missed when that tab is closed: another
 * goes on after the last event that it heard.
 */
export function openFeed(options: {
  client: PromptBackend;
  userId: string;
  /** The stream begins with every session, which can be many: it begins after this. */
  after: Promise<void>;
  signal: AbortSignal;
  handlers: FeedHandlers;
  pauseMs?: number;
}): void {
  const { client, userId, after, signal, handlers, pauseMs = PAUSE_MS } = options;
  const name = `prompt-backend:${userId}`;
  const channel = openChannel(name);
  let position: string | undefined;

  const hear = (heard: Heard) => {
    if ("event" in heard) {
      position = heard.event.id ?? position;
      handlers.onEvent(heard.event);
    } else if ("back" in heard) handlers.onBack();
    else handlers.onRefused();
  };
  let untold: Heard[] = [];
  const passOn = () => {
    // What this tab does not pass on any more, the next one reads.
    if (!signal.aborted) channel?.postMessage(untold satisfies Message);
    untold = [];
  };
  const tell = (heard: Heard) => {
    if (untold.push(heard) === 1) setTimeout(passOn);
    hear(heard);
  };
  if (channel) channel.onmessage = ({ data }: MessageEvent<Message>) => data.forEach(hear);
  signal.addEventListener("abort", () => channel?.close(), { once: true });

  void asLeader(name, signal, async (signal) => {
    await after;
    let lost = false;
    const onReconnect = (error: unknown) => {
      // The server closes each stream in its time, which is no loss.
      lost ||= error !== undefined;
    };
    while (!signal.aborted) {
      try {
        for await (const event of client.events.all({ after: position, signal, onReconnect })) {
          if (lost) tell({ back: true });
          lost = false;
          tell({ event });
        }
      } catch {
        if (signal.aborted) return;
        lost = true;
        // If it was refused for its position, it begins anew.
        position = undefined;
        tell({ refused: true });
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  });
}

/** A browser in which no site may store anything may refuse this, too: then each tab reads for itself. */
function openChannel(name: string): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel(name);
  } catch {
    return undefined;
  }
}
