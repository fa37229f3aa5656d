import { Elysia, t } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import {
  errorResponses,
  Id,
  idParams,
  NotModified,
  readErrors,
  securedOperation,
  sharedModels,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { Envelope } from "./envelope.ts";
import { readProvenance } from "./store.ts";

const PEM = "text/plain";
const provenanceModels = { ProvenanceEnvelope: Envelope };
const ERROR = {
  // server/openapi.ts describes each status.
  description: "",
  content: { "application/json": { schema: { $ref: "#/components/schemas/ErrorDto" } } },
};
const keyResponses = {
  200: {
    description: "The key",
    content: { [PEM]: { schema: { type: "string" as const, examples: ["-----BEGIN PUBLIC KEY-----\n…"] } } },
  },
  304: { description: "" },
  403: ERROR,
  404: ERROR,
};

const keyElsewhere = () =>
  new AppError(
    "provenance_key_not_found",
    "This machine has no key of the provenance: another one signs. Ask the operator for its public key (`prompt-backend provenance-key` there), or to give all machines one PROVENANCE_KEY.",
  );

/** What this deployment has signed about its runs, and the key to verify it. @param options.publicKey in PEM, if this machine has one. */
export function provenanceRoutes(options: { orm: Orm; guard: Guard; publicKey: () => string | undefined }) {
  const { orm, guard, publicKey } = options;
  return (
    new Elysia()
      .model({ ...sharedModels, ...provenanceModels })
      // Without a token: whoever is given a file verifies it without being a user.
      .get(
        "/provenance/key",
        (context) => {
          const pem = publicKey();
          if (pem === undefined) throw keyElsewhere();
          if (isUnchanged(context, weakEtag(pem))) return context.status(304, undefined);
          return new Response(pem, { headers: { "content-type": `${PEM}; charset=utf-8` } });
        },
        {
          detail: {
            operationId: "handlers_provenance_key",
            summary: "Get the public key of the provenance",
            description:
              "Ed25519, in PEM: `prompt-backend verify FILE --key key.pem` verifies an envelope with it. Get it once over a connection that you trust, and keep it.",
            tags: ["Sessions"],
            security: [],
            responses: keyResponses,
          },
        },
      )
      .use(guard)
      .get(
        "/sessions/:id/provenance",
        async (context) => {
          const { user, params, query, status } = context;
          const wanted = { userId: user.id, sessionId: params.id, promptId: query.prompt_id };
          const { id, envelope } = await readProvenance(orm, wanted);
          if (isUnchanged(context, weakEtag("provenance", id))) return status(304, undefined);
          return JSON.parse(envelope) as typeof Envelope.static;
        },
        {
          params: idParams,
          query: t.Object({
            prompt_id: t.Optional({ ...Id, description: "Default: the last prompt whose run made commits" }),
          }),
          detail: securedOperation("Sessions")(
            "handlers_sessions_get_provenance",
            "Get the provenance of a run's commits",
            "Signed at the end of the run: a DSSE envelope with an in-toto statement (v1), whose subjects are the commits and whose predicate is SLSA provenance (v1): repository and branches, the prompt's id and SHA-256, who asked, the agent with its version and model, and what it used. Agents report version, model and usage themselves.",
          ),
          response: { 200: "ProvenanceEnvelope", 304: NotModified, ...readErrors, ...errorResponses(409) },
        },
      )
  );
}
