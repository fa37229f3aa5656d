import { createPrivateKey } from "node:crypto";
import { isIP } from "node:net";
import { isAbsolute, resolve } from "node:path";
import { Secret } from "../shared/secret.ts";
import { ConfigMistake } from "./mistakes.ts";

/** Turns a variable's text, which is trimmed and not empty, into its value. @throws ConfigMistake */
export type Parse<T> = (text: string) => T;

/** In billionths, a million is within the whole numbers that JavaScript has. */
const MOST_USD = 1_000_000;
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

/** An amount of US dollars, as billionths of one. */
export const usd: Parse<number> = (value) => {
  if (!/^\d{1,7}(?:\.\d{1,9})?$/.test(value) || Number(value) > MOST_USD)
    throw new ConfigMistake(
      "config_invalid_amount",
      `must be an amount of US dollars from 0 to ${MOST_USD}, such as 5 or 0.50, not ${JSON.stringify(value)}`,
    );
  return Math.round(Number(value) * 1e9);
};

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

/** The base URL of a service in one spelling, without a trailing slash: it holds no credentials, which are sent to its host only. */
export const serviceUrl: Parse<string> = (value) => {
  const { origin, hostname, pathname, username, password, search, hash } = new URL(url(...HTTP)(value));
  const refuse = (problem: string): never => {
    throw new ConfigMistake("config_invalid_url", problem);
  };
  if (username || password) refuse("must not contain a user or password, which have variables of their own");
  if (search || hash) refuse("must not have a query or fragment");
  // The parser leaves marks such as * in names.
  if (!/^(\[[0-9a-f:.]+\]|[\w.-]+)$/.test(hostname)) refuse("must name one host");
  return `${origin}${pathname.replace(/\/+$/, "")}`;
};

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

/** An Ed25519 private key in PEM, whose line breaks may be written as \\n. */
export const signingKey: Parse<Secret> = (value) => {
  const pem = value.replaceAll("\\n", "\n");
  if (typeOfKey(pem) === "ed25519") return new Secret(pem);
  throw new ConfigMistake(
    "config_invalid_key",
    "must be an Ed25519 private key in PEM (PKCS#8), without a passphrase; `openssl genpkey -algorithm ed25519` makes one",
  );
};

/** Keys of 32 bytes in base64, separated by commas. */
export const sealingKeys: Parse<readonly Secret[]> = (value) => {
  const keys = listed(value, ",");
  const good = keys.every((key) => /^[\w+/-]{43}=?$/.test(key));
  if (good && keys.length > 0) return keys.map((key) => new Secret(key));
  throw new ConfigMistake(
    "config_invalid_key",
    "must be keys of 32 bytes in base64, separated by commas; `openssl rand -base64 32` makes one",
  );
};

/** The RSA private key of a GitHub App in PEM, whose line breaks may be written as \\n. */
export const appKey: Parse<Secret> = (value) => {
  const pem = `${value.replaceAll("\\n", "\n").trim()}\n`;
  if (typeOfKey(pem) === "rsa") return new Secret(pem);
  throw new ConfigMistake(
    "config_invalid_key",
    "must be an RSA private key in PEM, without a passphrase, as GitHub made it",
  );
};

function typeOfKey(pem: string): string | undefined {
  try {
    return createPrivateKey(pem).asymmetricKeyType;
  } catch {
    return undefined;
  }
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

/** True for an address that only this machine can reach. A name such as 127.example.com is not one. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** A switch: 0 or 1. */
export const flag: Parse<boolean> = (value) => oneOf("0", "1")(value) === "1";

const listed = (value: string, separator: string): string[] =>
  value
    .split(separator)
    .map((one) => one.trim())
    .filter(Boolean);

/** Any names, separated by commas. */
export const names: Parse<readonly string[]> = (value) => listed(value, ",");

/** Absolute paths of folders, separated by colons; the root folder is none. */
export const folders: Parse<readonly string[]> = (value) =>
  listed(value, ":").map((one) => {
    const path = resolve("/", one);
    if (isAbsolute(one) && path !== "/") return path;
    throw new ConfigMistake(
      "config_invalid_folder",
      `${JSON.stringify(one)} is not an absolute path of a folder below /`,
    );
  });

/** host or host:port, separated by commas, in lower case. */
export const hostList: Parse<readonly string[]> = (value) =>
  listed(value, ",").map((one) => {
    if (/^(\[[0-9a-f:.]+\]|[\w.-]+)(:\d{1,5})?$/i.test(one)) return one.toLowerCase();
    throw new ConfigMistake(
      "config_invalid_host",
      `${JSON.stringify(one)} is not a host such as git.example.com or git.example.com:8443`,
    );
  });

/** The beginning of branch names, such as prompt/. */
export const prefix: Parse<string> = (value) => {
  if (/^[\w-]+(\/[\w-]+)*[/-]$/.test(value) && !value.startsWith("-")) return value;
  throw new ConfigMistake(
    "config_invalid_prefix",
    `must be letters, digits, "_" and "-" in parts separated by "/", and end with "/" or "-", not ${JSON.stringify(value)}`,
  );
};

/** User ids of the host, first and last. */
export const uidRange: Parse<{ first: number; last: number }> = (value) => {
  const [, first = 0, last = 0] = (/^(\d{1,10})-(\d{1,10})$/.exec(value) ?? []).map(Number);
  // Below 1000 are the system's own users; 65534 is nobody.
  if (first > 65_535 && first <= last && last < 2 ** 32 - 2) return { first, last };
  throw new ConfigMistake(
    "config_invalid_range",
    `must be two user ids above 65535, such as 200000-265535, not ${JSON.stringify(value)}`,
  );
};

export const origins: Parse<readonly string[]> = (value) => {
  const list = listed(value, ",");
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
