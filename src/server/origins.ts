import { type Config, isLoopback } from "../config/config.ts";

/** Whether pages of an origin may use the API: the configured ones and, in local modes, those of this machine. */
export function originRule({ auth, corsOrigins }: Pick<Config, "auth" | "corsOrigins">) {
  return (origin: string): boolean => {
    if (corsOrigins.includes(origin)) return true;
    const url = auth.mode === "oidc" ? null : URL.parse(origin);
    return url !== null && isLoopback(bare(url.hostname));
  };
}

/** An IPv6 address without the brackets that it has in URLs and Host headers. */
export const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, "");
