import { createHash } from "node:crypto";
import { type Static, Type as t } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { NotVerified } from "./envelope.ts";

/** An in-toto statement (v1) with SLSA provenance (v1): what was asked for, by what it was made, and the commits. */

const BUILD_TYPE = "urn:prompt-backend:agent-run:v1";
const USAGE = "usage";
const JSON_TYPE = "application/json";

const Commit = t.Object({ gitCommit: t.String({ pattern: "^([0-9a-f]{40}|[0-9a-f]{64})$" }) });

const Statement = t.Object({
  _type: t.Literal("https://in-toto.io/Statement/v1"),
  subject: t.Array(t.Object({ name: t.String(), digest: Commit }), { minItems: 1 }),
  predicateType: t.Literal("https://slsa.dev/provenance/v1"),
  predicate: t.Object({
    buildDefinition: t.Object({
      buildType: t.Literal(BUILD_TYPE),
      externalParameters: t.Object({
        repository: t.String(),
        targetBranch: t.String(),
        branch: t.String(),
        session: t.String(),
        prompt: t.Object({ id: t.String(), sha256: t.String() }),
        requestedBy: t.Object({
          id: t.String(),
          name: t.Optional(t.String()),
          email: t.Optional(t.String()),
        }),
      }),
      internalParameters: t.Object({
        agent: t.Object({ name: t.String(), version: t.Optional(t.String()), model: t.Optional(t.String()) }),
      }),
      resolvedDependencies: t.Array(t.Object({ name: t.String(), digest: Commit }), { minItems: 1 }),
    }),
    runDetails: t.Object({
      builder: t.Object({ id: t.String(), version: t.Object({ "prompt-backend": t.String() }) }),
      metadata: t.Object({ invocationId: t.String(), startedOn: t.String(), finishedOn: t.String() }),
      byproducts: t.Array(
        t.Object({
          name: t.Literal(USAGE),
          mediaType: t.Literal(JSON_TYPE),
          /** In base64. */
          content: t.String(),
        }),
        { minItems: 1, maxItems: 1 },
      ),
    }),
  }),
});
type Statement = Static<typeof Statement>;
type Predicate = Statement["predicate"];

/** What a statement says of a run. */
export interface RunFacts {
  parameters: Predicate["buildDefinition"]["externalParameters"];
  agent: Predicate["buildDefinition"]["internalParameters"]["agent"];
  builder: { id: string; version: string };
  metadata: Predicate["runDetails"]["metadata"];
  /** The commit that the agent started from. */
  start: string;
  /** The newest commits of the run, at least one, the newest first. */
  commits: readonly string[];
  /** Numbers by name: how many commits there are, and what the run used. */
  usage: Readonly<Record<string, number>>;
}

export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** @returns the statement's JSON. */
export function writeStatement(facts: RunFacts): string {
  const { parameters, agent, builder, metadata, start, commits, usage } = facts;
  const named = (commit: string) => ({
    name: `${parameters.repository}@${commit}`,
    digest: { gitCommit: commit },
  });
  const content = Buffer.from(JSON.stringify(usage)).toString("base64");
  const statement: Statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: commits.map(named),
    predicateType: "https://slsa.dev/provenance/v1",
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: parameters,
        internalParameters: { agent },
        resolvedDependencies: [named(start)],
      },
      runDetails: {
        builder: { id: builder.id, version: { "prompt-backend": builder.version } },
        metadata,
        byproducts: [{ name: USAGE, mediaType: JSON_TYPE, content }],
      },
    },
  };
  return JSON.stringify(statement);
}

/** @throws NotVerified if it is no statement about a run. */
export function readStatement(payload: string): RunFacts {
  const statement = parsed(payload);
  if (!Value.Check(Statement, statement)) throw notOurs();
  const { buildDefinition, runDetails } = statement.predicate;
  const { id, version } = runDetails.builder;
  return {
    parameters: buildDefinition.externalParameters,
    agent: buildDefinition.internalParameters.agent,
    builder: { id, version: version["prompt-backend"] },
    metadata: runDetails.metadata,
    start: buildDefinition.resolvedDependencies[0]?.digest.gitCommit ?? "",
    commits: statement.subject.map(({ digest }) => digest.gitCommit),
    usage: usageIn(runDetails.byproducts[0]?.content ?? ""),
  };
}

function usageIn(content: string): Record<string, number> {
  const usage = parsed(Buffer.from(content, "base64").toString("utf8"));
  if (!Value.Check(t.Record(t.String(), t.Number()), usage)) throw notOurs();
  return usage;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notOurs();
  }
}

const notOurs = () =>
  new NotVerified("is signed, but does not state how a run of prompt-backend made commits");
