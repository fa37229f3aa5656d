/** Server-Sent Events as text. JSON has no raw line breaks, so one `data:` line carries it. */

/** What keeps proxies and clients from taking a quiet stream for a dead one. */
export const HEARTBEAT = ": heartbeat\n\n";

/** What a stream begins with: how long a client waits before it comes back. */
export const greeting = (retryMs: number) => `retry: ${retryMs}\n\n`;

/** One event. With an id it is a place to resume from; without one the client's last id stands. */
export function frame(event: { event: string; data: unknown; id?: string | undefined }): string {
  const id = event.id === undefined ? "" : `id: ${event.id}\n`;
  return `${id}event: ${event.event}\ndata: ${JSON.stringify(event.data)}\n\n`;
}

/** Why a stream ends; the client reads it as the last event. */
export type Farewell = "shutdown" | "token_expired" | "error";
export const farewell = (reason: Farewell) => frame({ event: "bye", data: { reason } });
