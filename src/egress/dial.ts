import { connect, type Socket } from "node:net";

/** For one address. */
const CONNECT_TIMEOUT_MS = 10_000;

export class Unreachable extends Error {
  override readonly name = "Unreachable";
}

/**
 * Connects to the first of these addresses that accepts. Nothing is resolved here: what was decided is what is dialled.
 * @throws Unreachable; what `signal` aborted with.
 */
export async function dial(addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  let reason = "no address";
  for (const host of addresses) {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const socket = connect({ host, port, allowHalfOpen: true });
    const giveUp = () => reject(signal.reason);
    const timer = setTimeout(() => reject(new Error("no answer in time")), CONNECT_TIMEOUT_MS);
    signal.addEventListener("abort", giveUp, { once: true });
    socket.once("connect", () => resolve(socket));
    socket.on("error", reject);
    socket.once("close", () => reject(new Error("closed")));
    try {
      return await promise;
    } catch (error) {
      socket.destroy();
      signal.throwIfAborted();
      reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
    }
  }
  throw new Unreachable(reason);
}
