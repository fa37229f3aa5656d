import { Secret } from "../shared/secret.ts";
import { VARIABLES, type VariableName } from "./variables.ts";

export type Env = Readonly<Record<string, string | undefined>>;

/** Readers of single variables, blank ones being as good as absent. A wrong value is noted in `problems`, by its name. */
export function readValues(env: Env) {
  const problems: string[] = [];
  const fail = (name: VariableName, problem: string): undefined => void problems.push(`${name}: ${problem}`);
  const text = (name: VariableName): string | undefined => env[name]?.trim() || VARIABLES[name][0];
  const secret = (name: VariableName) => {
    const value = text(name);
    if (value !== undefined && /\s/.test(value))
      fail(name, "must not contain white space; paste the value alone");
    return value === undefined ? undefined : new Secret(value);
  };
  const integer = (name: VariableName, min: number, max: number): number => {
    const value = text(name) ?? "";
    if (!/^\d+$/.test(value) || Number(value) < min || Number(value) > max)
      fail(name, `must be a whole number from ${min} to ${max}, not ${JSON.stringify(value)}`);
    return Number(value);
  };
  const oneOf = <T extends string>(name: VariableName, values: readonly T[]): T | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    return (
      values.find((one) => one === value) ??
      fail(name, `must be one of ${values.join(", ")}, not ${JSON.stringify(value)}`)
    );
  };
  const url = (name: VariableName, protocols: readonly string[]): string | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    if (!protocols.includes(URL.parse(value)?.protocol ?? ""))
      fail(name, `must be a URL that starts with ${protocols.map((one) => `${one}//`).join(" or ")}`);
    return value.replace(/\/+$/, "");
  };
  const secretUrl = (name: VariableName, protocols: readonly string[]) => {
    const value = url(name, protocols);
    return value === undefined ? undefined : new Secret(value);
  };

  return { problems, fail, text, secret, integer, oneOf, url, secretUrl };
}

/** A JSON array of strings. undefined: not given; null: malformed. */
export function commandOf(value: string | undefined): readonly [string, ...string[]] | null | undefined {
  if (value === undefined) return undefined;
  try {
    const list: unknown = JSON.parse(value);
    const good =
      Array.isArray(list) &&
      list.length > 0 &&
      list.every((one) => typeof one === "string" && one !== "" && !one.includes("\0"));
    return good ? (list as [string, ...string[]]) : null;
  } catch {
    return null;
  }
}
