/** What comes from outside, until somebody has looked at it. */
export type JsonObject = Record<string, unknown>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const asObject = (value: unknown): JsonObject | undefined => (isObject(value) ? value : undefined);

/** The text; of what is none, an empty one. */
export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
