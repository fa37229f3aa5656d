const SECRET = /token|secret|passw|credential|api[-_]?key|authorization|cookie|mcp/i;
const REDACTED = "[redacted]";

/**
 * Removes secrets from entity data: of a sandbox only provider and id remain, and values whose name suggests a secret are
 * replaced.
 */
export function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== "object" || value === null) return value;
  if ("provider" in value) return { provider: value.provider, ...("id" in value && { id: value.id }) };
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => {
      if (SECRET.test(name)) return [name, REDACTED];
      if (/^(sbx|sandbox)_?config$/i.test(name)) return [name, redactSandbox(one)];
      return [name, redact(one)];
    }),
  );
}

/** A sandbox configuration without a provider is dropped entirely. */
function redactSandbox(value: unknown): unknown {
  return typeof value === "object" && value !== null && "provider" in value ? redact(value) : null;
}
