import type { RepoAddress, RepoRules } from "./repo-url.ts";
import { parseRepo, sshParts } from "./repo-url.ts";

/** Where a submodule is; or why the service does not go there, a part of a sentence. */
export type SubmodulePlace = { address: RepoAddress } | { refusal: string };

/**
 * Judges the URL of a submodule, which a repository says and not a user: it leads to the repository's own host, or to one that
 * the configuration knows, and to a folder of this machine only from a repository that is one.
 * @param url as in .gitmodules. @param parent the repository that has the submodule.
 */
export function submodulePlace(url: string, parent: RepoAddress, rules: RepoRules): SubmodulePlace {
  const text = absolute(url, parent);
  if (text === undefined) return { refusal: "its URL leads out of the host of the repository" };
  const ssh = sshParts(text);
  const web = ssh ? overHttps(ssh, parent, rules) : text;
  if (web === undefined) return { refusal: unknownHost(ssh?.host ?? "") };
  const local = web.startsWith("/");
  if (local && parent.kind !== "local")
    return { refusal: "its URL is a path of the machine that runs the service" };
  if (!local && !/^https?:\/\//i.test(web)) return { refusal: "its URL is not an https URL" };
  let address: RepoAddress;
  try {
    address = parseRepo(web, rules);
  } catch {
    return { refusal: "its URL is not one that the service may follow" };
  }
  const { origin, host } = local ? { origin: "", host: "" } : new URL(address.url);
  const own = parent.kind === "remote" && new URL(parent.url).origin === origin;
  return local || own || address.hosted ? { address } : { refusal: unknownHost(host) };
}

const unknownHost = (host: string) =>
  `its host ${host.slice(0, 253)} is neither the repository's own nor one of FORGES, where whoever runs the service can list it`;

/** As git resolves it: what begins with ./ or ../ is relative to the parent's URL. Undefined: it leads out of its host. */
function absolute(url: string, parent: RepoAddress): string | undefined {
  if (!/^\.{1,2}\//.test(url)) return url;
  const { origin, pathname } =
    parent.kind === "local" ? { origin: "", pathname: parent.url } : new URL(parent.url);
  const folders = pathname.replace(/\/+$/, "").split("/");
  let rest = url;
  for (let step = /^\.{1,2}\/+/.exec(rest)?.[0]; step; step = /^\.{1,2}\/+/.exec(rest)?.[0]) {
    rest = rest.slice(step.length);
    if (!step.startsWith("..")) continue;
    if (folders.length <= 1) return undefined;
    folders.pop();
  }
  return `${origin}${[...folders, rest].join("/")}`.replace(/\/+$/, "");
}

/** SSH addresses of hosts that the service reaches over https anyway. */
function overHttps(
  { host, path }: { host: string; path: string },
  parent: RepoAddress,
  { forges }: RepoRules,
): string | undefined {
  const bases = [
    ...(parent.kind === "remote" ? [new URL(parent.url).origin] : []),
    ...forges.map((one) => one.url),
  ];
  const base = bases.find((one) => new URL(one).hostname === host.toLowerCase());
  return base && `${base}/${path}`;
}
