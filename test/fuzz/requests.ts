import fc from "fast-check";
import type { Operation, readDocument, Schema } from "./document.ts";

export interface FuzzRequest {
  operation: Operation;
  path: string;
  headers: Record<string, string>;
  body: string | Uint8Array<ArrayBuffer> | undefined;
}

const TEXTS = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom(
    "",
    " ",
    "\0",
    "a\0b",
    "'; drop table session; --",
    "../../etc/passwd",
    "%00",
    "💥",
    "\ud800",
    "null",
    "-1",
  ),
  fc.string({ minLength: 3_000, maxLength: 3_000 }),
);

/** Requests to every operation of a document: most of them nearly right, some of them anything. */
export function requestsFor(document: ReturnType<typeof readDocument>, ids: readonly string[]) {
  const id = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...ids) }, { weight: 1, arbitrary: fc.uuid() });

  const valid = (given: Schema): fc.Arbitrary<unknown> => {
    const schema = document.resolve(given);
    if (Array.isArray(schema.type)) return fc.oneof(...schema.type.map((type) => valid({ ...schema, type })));
    if (schema.enum) return fc.constantFrom(...schema.enum);
    const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
    if (choices) return fc.oneof(...choices.map(valid));
    switch (schema.type) {
      case "null":
        return fc.constant(null);
      case "string":
        if (schema.format === "uuid") return id;
        if (schema.format === "date-time")
          return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
        return fc.oneof(TEXTS, fc.constantFrom("main", "owner/name", "x", "5", "https://example.com/a/b"));
      case "integer":
      case "number":
        // Numbers that need not be whole may begin at a fraction.
        return fc.integer({
          min: Math.ceil(Number(schema.minimum ?? -10)),
          max: Number(schema.maximum ?? 1_000),
        });
      case "boolean":
        return fc.boolean();
      case "array":
        return fc.array(valid(schema.items ?? {}), { maxLength: 4 });
      case "object":
        return fc.record(
          Object.fromEntries(
            Object.entries(schema.properties ?? {}).map(([name, one]) => [name, valid(one)]),
          ),
          { requiredKeys: schema.required ?? [] },
        );
      default:
        return fc.oneof(
          fc.jsonValue({ maxDepth: 4 }),
          fc.record({ content: TEXTS }),
          fc.array(fc.record({ content: TEXTS, type: fc.constant("text") }), { maxLength: 3 }),
        );
    }
  };
  const spoiled = (schema: Schema): fc.Arbitrary<unknown> =>
    fc.oneof(
      fc.jsonValue(),
      fc
        .tuple(valid(schema), fc.string(), fc.jsonValue())
        .map(([one, key, value]) =>
          typeof one === "object" && one !== null ? { ...one, [key]: value } : value,
        ),
      fc
        .tuple(valid(schema), fc.nat(9))
        .map(([one, index]) =>
          typeof one === "object" && one !== null
            ? Object.fromEntries(Object.entries(one).filter((_, at) => at !== index))
            : [one],
        ),
    );
  const bodyOf = (schema: Schema): fc.Arbitrary<FuzzRequest["body"]> =>
    fc.oneof(
      { weight: 6, arbitrary: valid(schema).map((value) => JSON.stringify(value)) },
      { weight: 3, arbitrary: spoiled(schema).map((value) => JSON.stringify(value)) },
      { weight: 1, arbitrary: fc.string() },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => new Uint8Array(bytes)) },
      { weight: 1, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.nat(300).map((depth) => "[".repeat(depth) + "]".repeat(depth)) },
    );

  // A single or double dot is resolved before anything is sent.
  const text = TEXTS.filter((one) => one !== "." && one !== "..");
  const segment = fc.oneof({ weight: 8, arbitrary: id }, { weight: 1, arbitrary: text });
  // Seldom: it is refused, and nothing behind that is reached.
  const unknownPair = fc.oneof(
    { weight: 15, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.tuple(TEXTS, TEXTS) },
  );
  const query = (operation: Operation) => {
    const known = operation.parameters.filter((one) => one.in === "query");
    const pairs = known.map(({ name, schema }) =>
      fc.option(
        fc.oneof(valid(schema), TEXTS).map((value) => [name, String(value)] as const),
        { nil: undefined },
      ),
    );
    return fc.tuple(fc.tuple(...pairs), unknownPair).map(([list, extra]) =>
      [...list, extra]
        .filter((one) => one !== undefined)
        .map(([name, value]) => `${percent(name)}=${percent(value)}`)
        .join("&"),
    );
  };
  const headers = fc.record(
    {
      authorization: fc.oneof(
        { weight: 12, arbitrary: fc.constantFrom("Bearer alice", "Bearer bob", "Bearer admin") },
        { weight: 1, arbitrary: fc.constantFrom("Bearer bad", "Bearer", "Basic YTpi", "") },
      ),
      "content-type": fc.oneof(
        { weight: 9, arbitrary: fc.constant("application/json") },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            "text/plain",
            "multipart/form-data",
            "application/x-www-form-urlencoded",
            ";",
            "application/json; charset=latin1",
          ),
        },
      ),
      "idempotency-key": fc.oneof(
        fc.constantFrom("k1", "k2", "k3"),
        fc.uuid(),
        fc.constantFrom("", "ü", "x".repeat(400)),
      ),
      "if-none-match": fc.constantFrom("*", 'W/"1"', "nonsense", '"a", W/"b"'),
      "last-event-id": fc.constantFrom("0", "1", "-1", "x", "99999999999999999999"),
      origin: fc.constantFrom("http://localhost:3000", "https://evil.example.com", "null"),
      "x-request-id": fc.constantFrom("mine", "", "a b"),
    },
    { requiredKeys: [] },
  );

  const request = (operation: Operation): fc.Arbitrary<FuzzRequest> => {
    const names = operation.parameters.filter((one) => one.in === "path");
    return fc
      .tuple(
        fc.tuple(...names.map(() => segment)),
        query(operation),
        headers,
        operation.body ? bodyOf(operation.body) : fc.constant(undefined),
      )
      .map(([segments, search, given, body]) => {
        let path = operation.path;
        for (const [index, { name }] of names.entries())
          path = path.replace(`{${name}}`, percent(String(segments[index])) || "%20");
        const known = Object.entries(given).filter(
          // What cannot stand in a header at all is no request.
          (one): one is [string, string] => typeof one[1] === "string" && /^[\x20-\x7e]*$/.test(one[1]),
        );
        return {
          operation,
          path: search ? `${path}?${search}` : path,
          headers: Object.fromEntries(known),
          body,
        };
      });
  };
  return fc.oneof(...document.operations.map(request));
}

function percent(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}
