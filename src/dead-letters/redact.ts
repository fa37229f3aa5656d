const SECRET = /token|secret|passw|credential|api[-_]?key|authorization|cookie|mcp/i;
const REDACTED = "[redacted]";

/** Evidence as clients may see it: of a sandbox its provider and id, and nothing that is named like a secret. */
export function redacted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redacted);
  if (typeof value !== "object" || value === null) return value;
  if ("provider" in value) return { provider: value.provider, ...("id" in value && { id: value.id }) };
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => {
      if (SECRET.test(name)) return [name, REDACTED];
      if (/^(sbx|sandbox)_?config$/i.test(name)) return [name, sandboxOf(one)];
      return [name, redacted(one)];
    }),
  );
}

/** Whatever stands in for a sandbox without saying whose it is shows nothing. */
function sandboxOf(value: unknown): unknown {
  return typeof value === "object" && value !== null && "provider" in value ? redacted(value) : null;
}
