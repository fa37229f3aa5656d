import { type Static, t } from "elysia";
import { enumOf, Id, NextCursor, Timestamp } from "../api/schemas.ts";

const EgressRequestDto = t.Object(
  {
    host: t.String({
      description:
        "A host name or an address; `other`, with port 0, counts what exceeds 500 targets of a run",
      examples: ["packages.example.com"],
    }),
    port: t.Integer({ examples: [443] }),
    decision: enumOf(["allowed", "refused"]),
    rule: t.String({
      description: "The entry of EGRESS_ALLOW that allows it, or why it was refused",
      examples: ["not in EGRESS_ALLOW"],
    }),
    first_at: Timestamp,
    last_at: Timestamp,
    count: t.Integer({ description: "How often it was asked for", examples: [3] }),
    prompt_id: Id,
  },
  { description: "What the agent of one prompt asked for on the network" },
);
export type EgressRequestDto = Static<typeof EgressRequestDto>;

export const egressModels = {
  EgressRequestDto,
  ListEgressOutput: t.Object({ requests: t.Array(EgressRequestDto), next_cursor: NextCursor }),
};
