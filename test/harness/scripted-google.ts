import {
  type OfferedTool,
  type ReadRequest,
  type ResolvedPart,
  startTurnServer,
  type TurnScript,
} from "./scripted-turns.ts";

type Json = Record<string, unknown>;

const ROUTE = /^\/v1beta\/models\/([^/:]+):(generateContent|streamGenerateContent|countTokens)(\?|$)/;

/**
 * A scripted model on loopback with Google's Gemini API: models/X:generateContent and models/X:streamGenerateContent?alt=sse,
 * with the shapes that the Gemini API reference gives for GenerateContentResponse ("Generating content": candidates with
 * content.parts of text or functionCall, finishReason, usageMetadata). A streamed record has the shape of a whole one.
 */
export function startScriptedGoogle({
  script,
  outputTokens = () => 20,
}: {
  script: TurnScript;
  outputTokens?: (() => number) | undefined;
}) {
  return startTurnServer(
    {
      read(path, body) {
        const [, model, verb] = ROUTE.exec(path) ?? [];
        return model === undefined || verb === "countTokens"
          ? undefined
          : readContents(model, verb, body, outputTokens);
      },
      other: (_method, path) =>
        ROUTE.exec(path)?.[2] === "countTokens" ? Response.json({ totalTokens: 100 }) : undefined,
      failure(code, message) {
        const status = code === 401 ? "UNAUTHENTICATED" : code === 404 ? "NOT_FOUND" : "INTERNAL";
        return Response.json({ error: { code, message, status } }, { status: code });
      },
    },
    script,
  );
}

function readContents(
  model: string,
  verb: string | undefined,
  body: Json,
  outputTokens: () => number,
): ReadRequest {
  const record = (parts: readonly Json[], finishReason?: string) => ({
    candidates: [{ index: 0, content: { role: "model", parts }, ...(finishReason && { finishReason }) }],
    usageMetadata: {
      ...{ promptTokenCount: 100, candidatesTokenCount: outputTokens() },
      totalTokenCount: 100 + outputTokens(),
    },
    modelVersion: model,
    responseId: crypto.randomUUID(),
  });
  const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;
  return {
    model,
    stream: verb === "streamGenerateContent",
    tools: toolsOf(body),
    conversation: JSON.stringify(body["contents"]),
    opening: event(record([])),
    whole: (parts) => record(parts.map(partOf), "STOP"),
    *streamed(parts) {
      for (const [index, part] of parts.entries())
        yield event(record([partOf(part)], index === parts.length - 1 ? "STOP" : undefined));
    },
  };
}

/** A schema comes as `parameters` or, in JSON schema's own words, as `parametersJsonSchema`. */
function toolsOf(body: Json): OfferedTool[] {
  const groups = (body["tools"] ?? []) as { functionDeclarations?: Json[] }[];
  return groups
    .flatMap((group) => group.functionDeclarations ?? [])
    .map((one) => ({
      name: String(one["name"]),
      schema: (one["parametersJsonSchema"] ?? one["parameters"] ?? {}) as OfferedTool["schema"],
    }));
}

const partOf = (part: ResolvedPart): Json =>
  "text" in part ? { text: part.text } : { functionCall: { name: part.call.name, args: part.call.input } };
