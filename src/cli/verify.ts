import { createPublicKey, type KeyObject } from "node:crypto";
import type { Config } from "../config/config.ts";
import { checkCommits, type FoundCommit } from "../provenance/check-commits.ts";
import { NotVerified, openEnvelope } from "../provenance/envelope.ts";
import { findSigningKey } from "../provenance/key.ts";
import { type RunFacts, readStatement } from "../provenance/statement.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";

/** Longer than any envelope: it names at most 250 commits. */
const MAX_BYTES = 1024 * 1024;

/**
 * `prompt-backend verify FILE`: verifies the provenance of commits, offline, and prints what it states.
 * @param options.keyFile a public key in PEM. Undefined: that of this deployment.
 * @param options.repository a folder with the commits. Undefined: they are not looked at.
 * @param options.readSettings called only without a key file.
 * @throws OperatorError with the reason if it is not verified.
 */
export async function runVerify(options: {
  file: string;
  keyFile: string | undefined;
  repository: string | undefined;
  readSettings: () => Promise<{ config: Pick<Config, "dataDir" | "provenanceKey"> }>;
  gitEnvironment: Readonly<Record<string, string | undefined>>;
  print: (line: string) => void;
}): Promise<void> {
  const { file, keyFile, repository, gitEnvironment: env, print } = options;
  const key = keyFile === undefined ? ownKey(await options.readSettings()) : await publicKeyIn(keyFile);
  const text = await textOf(file);
  try {
    const facts = readStatement(openEnvelope(text, key));
    const found = repository === undefined ? undefined : checkCommits({ facts, repository, env });
    for (const line of describe(facts, found)) print(line.replace(/\p{Cc}/gu, "?"));
  } catch (error) {
    if (error instanceof NotVerified)
      throw new OperatorError(`${file} ${error.message}.`, 1, { cause: error });
    throw error;
  }
}

function ownKey({ config }: { config: Pick<Config, "dataDir" | "provenanceKey"> }): KeyObject {
  const key = findSigningKey(config);
  if (key) return createPublicKey(key.publicKey);
  throw new OperatorError(
    "There is no key to verify with: give the public key of the deployment that signed it (GET /provenance/key) by --key FILE.",
  );
}

async function publicKeyIn(file: string): Promise<KeyObject> {
  const text = await textOf(file);
  try {
    const key = createPublicKey(text);
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {}
  throw new OperatorError(`${file} is not an Ed25519 public key in PEM.`);
}

async function textOf(file: string): Promise<string> {
  const text = await Bun.file(file)
    .slice(0, MAX_BYTES + 1)
    .text()
    .catch((error: unknown) => {
      throw new OperatorError(`${file} cannot be read: ${messageOf(error)}.`, 1, { cause: error });
    });
  if (text.length > MAX_BYTES) throw new OperatorError(`${file} is too long: it has more than 1 MiB.`);
  return text;
}

/** @param found the commits as they are in a repository; undefined: nobody looked. */
function describe(facts: RunFacts, found: readonly FoundCommit[] | undefined): string[] {
  const { parameters, agent, builder, metadata, start, commits, usage } = facts;
  const { repository, targetBranch, branch, session, prompt, requestedBy } = parameters;
  const { id, name, email } = requestedBy;
  const row = (title: string, text: string) => `${title.padEnd(13)}${text}`;
  const count = usage["commits"] ?? commits.length;
  const version = agent.version === undefined ? "" : ` ${agent.version}`;
  const lines = found
    ? found.map(
        (one) => `  ${one.id}  ${one.trailers ? "with trailers" : "made by the agent itself, no trailers"}`,
      )
    : commits.map((commit) => `  ${commit}`);
  return [
    "The signature is valid.",
    row("Signed by", `${builder.id} (prompt-backend ${builder.version})`),
    row("Asked by", `${name && email ? `${name} <${email}>, ` : ""}user ${id}`),
    row("Session", session),
    row("Prompt", `${prompt.id}, SHA-256 of its text ${prompt.sha256}`),
    row("Repository", `${repository}, branch ${branch}, for ${targetBranch}`),
    row("Agent", `${agent.name}${version}, model ${agent.model ?? "unknown"}`),
    row("Run", `${metadata.invocationId}, from ${metadata.startedOn} to ${metadata.finishedOn}`),
    row("Used", usageText(usage)),
    row(
      "Commits",
      `${count}, on top of ${start}${found ? "; all that are listed are in the repository" : ""}`,
    ),
    ...lines,
    ...(count > commits.length ? [`  … and ${count - commits.length} older ones, on which these build`] : []),
  ];
}

function usageText({ turns, input_tokens, output_tokens, cost_usd }: RunFacts["usage"]): string {
  const each = [
    turns !== undefined && `${turns} turns`,
    input_tokens !== undefined && `${input_tokens} tokens in`,
    output_tokens !== undefined && `${output_tokens} tokens out`,
    cost_usd !== undefined && `${cost_usd.toFixed(4)} US dollars`,
  ];
  return each.filter(Boolean).join(", ") || "not known";
}
