import { type Attack, all, untried } from "./attack.ts";
import { ask, each, gateway, refusedBy } from "./gateway-client.ts";

const model = (token: string | undefined, path = "/v1/messages", method = "POST") =>
  ask(
    `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n${token ? `x-api-key: ${token}\r\n` : ""}\r\n{}`,
  );

/** The model's API behind the gateway: with whose token, and which of its operations. */
export const MODEL_ATTACKS: readonly Attack[] = [
  gateway("model-without-token", "use the model without a token, or with a guessed one", async () =>
    all([
      refusedBy("no token", await model(undefined)),
      refusedBy("guessed", await model("run-guessed")),
      refusedBy("empty", await model(" ")),
    ]),
  ),
  gateway("model-other-token", "use the model with another run's token", async ({ tokens }) =>
    tokens ? refusedBy("another run's token", await model(tokens.other)) : untried("no model"),
  ),
  gateway(
    "model-other-operations",
    "use other operations of the model's API with one's own token",
    ({ tokens }) =>
      each(
        [
          "/v1/files",
          "/v1/models",
          "/v1/organizations",
          "/v1/messages/../files",
          "/v1/messages/batches",
          "//v1/messages",
          "/",
        ],
        async (path) =>
          tokens ? refusedBy(path, await model(tokens.own, path, "GET")) : untried("no model"),
      ),
  ),
];
