import type { Config } from "../config/config.ts";
import type { EgressRule } from "../shared/egress-rule.ts";
import {
  addressesOfThisMachine,
  type Host,
  hostOf,
  isPublic,
  type Resolve,
  resolveOnHost,
} from "./addresses.ts";
import { coversRequest, type HttpRequest } from "./http-path.ts";
import { limitLookups, TooManyLookups } from "./lookups.ts";

/** What a program in a sandbox asks for. */
export interface EgressRequest {
  /** As the program wrote it; an IPv6 address in brackets. */
  host: string;
  port: number;
  /** Undefined: a tunnel, of which nothing but the target is known. */
  http?: HttpRequest | undefined;
}

export interface Decision {
  allowed: boolean;
  /** In one spelling (see `Host`); where it is no host at all, as the program wrote it, in ASCII. */
  host: string;
  port: number;
  /** What decided: the entry of EGRESS_ALLOW, or why the request is refused. */
  rule: string;
  /** The only addresses that a connection may go to; empty if refused. */
  addresses: readonly string[];
}

/** Decides what the programs of one sandbox may reach. */
export interface EgressPolicy {
  /** Resolves a name at most once. Never rejects. */
  decide(request: EgressRequest): Promise<Decision>;
}

/** Mail is refused where everything else is open: one run could get the machine's address onto every blocklist. */
const SMTP_PORT = 25;
const DEFAULT_PORTS: readonly number[] = [80, 443];

/**
 * @param options.resolve, options.ownAddresses for tests.
 * @param options.needed allowed in every mode, such as the repository of a git command.
 * @param options.publicOnly allowed besides `allow`, by somebody who must not open the operator's network: neither private
 * addresses nor mail, and nothing where the operator allows nothing.
 * @param options.privateHosts `host` or `host:port` whose names may lead to private addresses.
 */
export function createPolicy(
  options: Config["egress"] & {
    needed?: readonly EgressRule[];
    privateHosts?: readonly string[];
    publicOnly?: readonly EgressRule[];
    resolve?: Resolve;
    ownAddresses?: () => readonly string[];
  },
): EgressPolicy {
  const { mode, allow, needed = [], privateHosts = [], publicOnly = [] } = options;
  const { ownAddresses = addressesOfThisMachine } = options;
  const resolve = limitLookups(options.resolve ?? resolveOnHost);
  const inOneSpelling = (rule: EgressRule) => ({
    ...rule,
    host: rule.suffix ? rule.host : spelling(rule.host),
  });
  const rules = [...needed, ...(mode === "deny" ? [] : (allow ?? []))].map(inOneSpelling);
  const publicRules = (mode === "deny" ? [] : publicOnly).map(inOneSpelling);
  const ruleFor = (host: Host, { port, http }: EgressRequest, of = rules) =>
    of.find((rule) => {
      if (rule.suffix ? host.isAddress || !host.name.endsWith(rule.host) : host.name !== rule.host)
        return false;
      if (rule.port === undefined ? !DEFAULT_PORTS.includes(port) : port !== rule.port) return false;
      return rule.http === undefined || (http !== undefined && coversRequest(rule.http, http));
    });
  const mayDial = (address: string) =>
    isPublic(address) && !ownAddresses().some((own) => spelling(own) === spelling(address));
  const isOpen = (port: number) => mode === "open" && port !== SMTP_PORT;
  const notListed = mode === "list" ? "not in EGRESS_ALLOW" : `EGRESS=${mode}`;

  async function decide(request: EgressRequest): Promise<Decision> {
    const { port } = request;
    const host = hostOf(request.host);
    const decided = (allowed: boolean, rule: string, addresses: readonly string[] = []): Decision => ({
      allowed,
      host: host?.name ?? request.host.slice(0, 300).replace(/[^!-~]/g, "?"),
      port,
      rule,
      addresses,
    });
    if (!host) return decided(false, "not a host");
    const own = ruleFor(host, request);
    const rule = own ?? (port === SMTP_PORT ? undefined : ruleFor(host, request, publicRules));
    if (host.isAddress) {
      if (own) return decided(true, own.text, [host.name]);
      if (!rule && !isOpen(port)) return decided(false, notListed);
      return mayDial(host.name)
        ? decided(true, rule?.text ?? "EGRESS=open", [host.name])
        : decided(false, "private address");
    }
    if (!rule && !isOpen(port)) return decided(false, notListed);
    const found = await resolve(host.name).catch((error: unknown) => error);
    if (found instanceof TooManyLookups) return decided(false, "too many lookups");
    if (!Array.isArray(found) || found.length === 0) return decided(false, "the name does not resolve");
    const mayBePrivate = privateHosts.some((one) => one === host.name || one === `${host.name}:${port}`);
    const addresses = found.filter(
      (address) =>
        mayBePrivate || mayDial(address) || ruleFor({ name: spelling(address), isAddress: true }, request),
    );
    if (addresses.length === 0) return decided(false, "private address");
    return decided(true, rule?.text ?? "EGRESS=open", addresses);
  }

  return { decide };
}

/** A rule for what a part of this service needs. @param target `host:port`, with an IPv6 address in brackets. */
export function neededRule(target: string): EgressRule {
  const [, host = "", port] = /^(.*?):(\d+)$/.exec(target) ?? [];
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  return { text: "needed", host: name, suffix: false, port: Number(port), http: undefined };
}

/** Addresses have several spellings; rules, requests and resolvers must agree on one. */
export const spelling = (host: string) => hostOf(host.includes(":") ? `[${host}]` : host)?.name ?? host;

/** Host and port as EGRESS_ALLOW has them. */
export const targetOf = ({ host, port }: Pick<Decision, "host" | "port">) =>
  `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** A sentence for the program, and for the user in the session. */
export function refusalText(decision: Pick<Decision, "host" | "port" | "rule">): string {
  const target = targetOf(decision);
  const { rule } = decision;
  if (rule === "not a host" || rule === "the name does not resolve") return `refused: ${target}; ${rule}`;
  if (rule === "too many lookups")
    return `refused: ${target}; too many names are being looked up at once; try again`;
  if (rule === "private address")
    return `refused: ${target}; it has no public address; allow it with its address in EGRESS_ALLOW, such as EGRESS_ALLOW=10.0.0.5:${decision.port}`;
  return `refused: ${target}; allow it with EGRESS_ALLOW=${target}${rule === "EGRESS=deny" ? " and EGRESS=list" : ""}`;
}
