import { nearest } from "../shared/nearest.ts";
import type { Secret } from "../shared/secret.ts";
import { FORGE_KINDS, type ForgeCredential, type ForgeHost, usualApiUrl } from "./forge-hosts.ts";
import { ConfigMistake } from "./mistakes.ts";
import { appKey, type Parse, secret, serviceUrl } from "./parsers.ts";
import { readSecret } from "./secret-sources.ts";

const FORM = 'a JSON array such as [{"host":"git.example.com","kind":"gitea","token":"…"}]';
const KEYS = [
  ...["host", "kind", "api_url", "token", "token_file"],
  ...["app_id", "private_key", "private_key_file"],
] as const;
type Entry = Partial<Record<(typeof KEYS)[number], string>>;

/** The hosts of FORGES. All of its text may be secret: the mistakes quote none of it, but count its entries. */
export const forgeList: Parse<readonly ForgeHost[]> = (value) => {
  const hosts: ForgeHost[] = [];
  for (const [index, one] of entriesOf(value).entries()) {
    const where = `entry ${index + 1}`;
    try {
      const host = hostOf(entryOf(one));
      const same = hosts.findIndex(({ url }) => new URL(url).origin === new URL(host.url).origin);
      if (same >= 0)
        throw new ConfigMistake("config_conflict", `has the host of entry ${same + 1}; keep one`);
      hosts.push(host);
    } catch (error) {
      if (!(error instanceof ConfigMistake)) throw error;
      throw new ConfigMistake(error.code, `${where} ${error.message}`);
    }
  }
  return hosts;
};

function entriesOf(value: string): unknown[] {
  try {
    const list: unknown = JSON.parse(value);
    if (Array.isArray(list)) return list;
  } catch {
    // The parser's message quotes the text.
  }
  throw wrong(`must be ${FORM}`);
}

function entryOf(one: unknown): Entry {
  if (typeof one !== "object" || one === null || Array.isArray(one)) throw wrong("is no JSON object");
  const entry = Object.entries(one).map(([key, value]) => {
    const known = KEYS.find((name) => name === key);
    if (!known) {
      const meant = nearest(key, KEYS);
      throw wrong(
        `has an unknown key${meant ? ` (is ${meant} meant?)` : ""}; the keys are ${KEYS.join(", ")}`,
      );
    }
    // An app's id is a number on its page.
    const text = known === "app_id" && Number.isSafeInteger(value) ? String(value) : value;
    if (typeof text !== "string" || text.trim() === "" || text.includes("\0"))
      throw wrong(`has a ${known} that is no text`);
    return [known, text.trim()] as const;
  });
  return Object.fromEntries(entry);
}

function hostOf(entry: Entry): ForgeHost {
  const kind = FORGE_KINDS.find((one) => one === entry.kind);
  if (!kind) throw wrong(`has no valid kind; it is one of ${FORGE_KINDS.join(", ")}`);
  if (!entry.host) throw wrong("has no host");
  const url = named("host", () =>
    serviceUrl(entry.host?.includes("://") ? entry.host : `https://${entry.host}`),
  );
  const api = entry.api_url;
  const apiUrl = api ? named("api_url", () => serviceUrl(api)) : usualApiUrl(kind, url);
  return { kind, url, apiUrl, credential: credentialOf(kind, entry), setting: "FORGES" };
}

function credentialOf(kind: ForgeHost["kind"], entry: Entry): ForgeCredential | undefined {
  const token = secretIn(entry, "token", secret());
  const privateKey = secretIn(entry, "private_key", appKey);
  const { app_id: appId } = entry;
  if (token && (appId || privateKey))
    throw new ConfigMistake("config_conflict", "has a token and an app; keep one of them");
  if ((appId || privateKey) && kind !== "github")
    throw new ConfigMistake("config_unused", `has an app, which is for kind github only`);
  if (appId && !privateKey) throw new ConfigMistake("config_required", "has an app_id and no private_key");
  if (privateKey && !appId) throw new ConfigMistake("config_required", "has a private_key and no app_id");
  if (appId && privateKey) return { kind: "app", appId, privateKey };
  return token && { kind: "token", token };
}

function secretIn(entry: Entry, key: "token" | "private_key", parse: Parse<Secret>): Secret | undefined {
  const { [key]: text, [`${key}_file` as const]: file } = entry;
  if (text && file)
    throw new ConfigMistake("config_conflict", `has ${key} and ${key}_file; keep one of them`);
  const value = file ? named(`${key}_file`, () => readSecret(file, "what it names")) : text;
  return value === undefined ? undefined : named(key, () => parse(value));
}

/** A mistake of one of the keys. */
function named<T>(key: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof ConfigMistake)) throw error;
    throw new ConfigMistake(error.code, `has a wrong ${key}: it ${error.message}`);
  }
}

const wrong = (problem: string) => new ConfigMistake("config_invalid_forges", problem);
