/** Server-Sent Events as text. JSON contains no raw line breaks, so one `data:` line is enough. */

/** A comment that keeps proxies and clients from closing an idle stream. */
export const HEARTBEAT = ": heartbeat\n\n";

/** The first frame of a stream: how long clients wait before they reconnect. */
export const retryFrame = (retryMs: number) => `retry: ${retryMs}\n\n`;

/** One event. Its id is a position to resume from; after an event without one, the client keeps its last id. */
export function eventFrame(event: { event: string; data: unknown; id?: string | undefined }): string {
  const id = event.id === undefined ? "" : `id: ${event.id}\n`;
  return `${id}event: ${event.event}\ndata: ${JSON.stringify(event.data)}\n\n`;
}

/** Why the server ends a stream. */
export const END_REASONS = ["shutdown", "token_expired", "error"] as const;
export type EndReason = (typeof END_REASONS)[number];

/** The last event of a stream that the server ends. */
export const endFrame = (reason: EndReason) => eventFrame({ event: "bye", data: { reason } });
