import type { EgressRule } from "../../shared/egress-rule.ts";

/**
 * Where git-lfs may go besides the repository's own host, which answers with the URLs of objects: to any name on the
 * internet over HTTPS, and to those hosts of PRIVATE_GIT_HOSTS that are given. Hosts keep objects at storage services whose
 * names nobody can know before. Addresses instead of names are refused, unless they are listed.
 */
export const lfsRules = (privateHosts: readonly string[]): EgressRule[] => [
  { text: "objects of Git LFS", host: "", suffix: true, port: 443, http: undefined },
  ...privateHosts.map((text) => {
    const [, host = "", port] = /^(\[.*\]|[^:]*)(?::(\d+))?$/.exec(text) ?? [];
    const name = host.replace(/^\[|\]$/g, "");
    return { text, host: name, suffix: false, port: port ? Number(port) : undefined, http: undefined };
  }),
];
