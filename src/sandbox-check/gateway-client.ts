import { connect } from "node:net";
import { GATEWAY_PORT } from "../sandboxes/isolation/isolation.ts";
import { type Attack, type Attempt, all, blocked, codeOf, failed, open, type Target } from "./attack.ts";

const ANSWER_TIMEOUT_MS = 5000;

/** Sends bytes to the gateway. @returns all that it answers until it closes, or is silent. */
export function ask(bytes: string | Uint8Array): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let answer = "";
  const socket = connect(GATEWAY_PORT, "127.0.0.1", () => socket.write(bytes));
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy());
  socket.on("data", (data) => {
    answer += data.toString("latin1");
  });
  socket.once("error", (error) => resolve(answer || codeOf(error)));
  socket.once("close", () => resolve(answer));
  return promise;
}

/** Blocked if the gateway answers with an error. What a listener of the check would say counts as reached. */
export function refusedBy(what: string, answer: string): Attempt {
  if (answer.includes("sandbox-check\n") || /^HTTP\/1\.[01] 2/.test(answer)) return open(`${what}: reached`);
  if (/^HTTP\/1\.[01] [45]/.test(answer)) return blocked(`${what}: ${answer.slice(9, 12)}`);
  if (answer.startsWith("\x05")) {
    // The reply to the greeting, then that to the request: its second byte is 0 for success.
    return answer.charCodeAt(3) === 0
      ? open(`${what}: connected`)
      : blocked(`${what}: SOCKS ${answer.charCodeAt(3)}`);
  }
  if (answer === "" || answer === "ECONNRESET") return blocked(`${what}: closed`);
  return failed(`${what}: ${answer.slice(0, 60)}`);
}

/** Attempts of which each must be refused, one after the other. */
export async function each<T>(all_: readonly T[], work: (one: T) => Promise<Attempt>): Promise<Attempt> {
  const attempts: Attempt[] = [];
  for (const one of all_) attempts.push(await work(one));
  return all(attempts);
}

/** An attack from inside that goes through the gateway, or at it. */
export const gateway = (id: string, title: string, inside: (target: Target) => Promise<Attempt>): Attack => ({
  id: `gateway-${id}`,
  title,
  stoppedBy: "gateway",
  needs: "gateway",
  inside,
});
