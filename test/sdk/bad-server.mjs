// Meets a bad server in a runtime of its own, and prints what came of it. Must end by itself: nothing may be left behind.
import { PromptBackend } from "../../sdk/dist/esm/index.js";

const ID = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const backoff = { first: 1, longest: 2 };
const pb = new PromptBackend({ baseUrl: process.env.BASE_URL, token: "ada", timeout: 200, backoff });
const outcome = (promise) =>
  promise.then(JSON.stringify, (error) => `${error.name}: ${error.cause ? "with" : "without"} cause`);
process.on("unhandledRejection", (error) => console.log("unhandled", error));

console.log("killed, killed mid-reply, fine:", await outcome(pb.health.check()));
console.log("silent:", await outcome(pb.health.check({ maxRetries: 0 })));
console.log("stuck:", await outcome(pb.health.check({ maxRetries: 0 })));
console.log("502:", await outcome(pb.health.check({ maxRetries: 0 })));
const stop = new AbortController();
setTimeout(() => stop.abort(), 50);
console.log("aborted in the body:", await outcome(pb.health.check({ signal: stop.signal })));
const response = await pb.health.check().asResponse();
console.log("raw:", response.status, await response.text());
const events = [];
const names = [];
const onReconnect = (error) => names.push(error?.name ?? "closed");
for await (const { event, id } of pb.events.session(ID, { idleTimeout: 100, onReconnect }))
  events.push(id ?? event);
console.log("stream:", ...events, ...names);
const end = new AbortController();
for await (const _event of pb.events.session(ID, { signal: end.signal })) setTimeout(() => end.abort());
console.log("aborted stream");
for await (const _event of pb.events.session(ID)) break;
console.log("left stream");
