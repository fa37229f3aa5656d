import { isIP } from "node:net";
import { Secret } from "../shared/secret.ts";
import { ConfigMistake } from "./mistakes.ts";

/** Turns a variable's text, which is trimmed and not empty, into its value. @throws ConfigMistake */
export type Parse<T> = (text: string) => T;

/** The protocols of a web service. */
export const HTTP = ["https:", "http:"] as const;

export const text: Parse<string> = (value) => value;

/** A whole number within bounds. @param factor turns the variable's unit into the setting's, e.g. minutes into ms. */
export function integer(min: number, max: number, factor = 1): Parse<number> {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max)
      throw new ConfigMistake(
        "config_invalid_integer",
        `must be a whole number from ${min} to ${max}, not ${JSON.stringify(value)}`,
      );
    return number * factor;
  };
}

export function oneOf<const T extends string>(...values: readonly T[]): Parse<T> {
  return (value) => {
    const found = values.find((one) => one === value);
    if (found !== undefined) return found;
    throw new ConfigMistake(
      "config_invalid_choice",
      `must be one of ${values.join(", ")}, not ${JSON.stringify(value)}`,
    );
  };
}

/** A URL without its trailing slashes. @param protocols with their colon, e.g. `https:` */
export function url(...protocols: readonly string[]): Parse<string> {
  return (value) => {
    if (!protocols.includes(URL.parse(value)?.protocol ?? ""))
      throw new ConfigMistake(
        "config_invalid_url",
        `must be a URL that starts with ${protocols.map((one) => `${one}//`).join(" or ")}`,
      );
    return value.replace(/\/+$/, "");
  };
}

/** @param minLength in characters */
export function secret(minLength = 1): Parse<Secret> {
  return (value) => {
    if (/\s/.test(value))
      throw new ConfigMistake("config_invalid_secret", "must not contain white space; paste the value alone");
    if (value.length < minLength)
      throw new ConfigMistake(
        "config_secret_too_short",
        `must have at least ${minLength} characters; \`openssl rand -hex 32\` makes one`,
      );
    return new Secret(value);
  };
}

/** A URL that may contain a password. */
export function secretUrl(...protocols: readonly string[]): Parse<Secret> {
  const parse = url(...protocols);
  return (value) => new Secret(parse(value));
}

export const address: Parse<string> = (value) => {
  if (isIP(value) || value === "localhost") return value;
  throw new ConfigMistake(
    "config_invalid_address",
    `must be an IP address or localhost, not ${JSON.stringify(value)}`,
  );
};

export const origins: Parse<readonly string[]> = (value) => {
  const list = value
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
  const wrong = list.find((one) => URL.parse(one)?.origin !== one);
  if (wrong === undefined) return list;
  throw new ConfigMistake(
    "config_invalid_origin",
    `${JSON.stringify(wrong)} is not an origin such as https://ui.example.com`,
  );
};

/** A program and its arguments, as a JSON array. */
export const command: Parse<readonly [string, ...string[]]> = (value) => {
  const list = parsedJson(value);
  const usable = (one: unknown) => typeof one === "string" && one !== "" && !one.includes("\0");
  if (Array.isArray(list) && list.length > 0 && list.every(usable)) return list as [string, ...string[]];
  throw new ConfigMistake(
    "config_invalid_command",
    'must be a JSON array of strings, e.g. ["my-agent","--json"]',
  );
};

function parsedJson(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}
