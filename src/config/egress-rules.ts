import { type EgressRule, egressRule } from "../shared/egress-rule.ts";
import { ConfigMistake } from "./mistakes.ts";
import type { Parse } from "./parsers.ts";

/**
 * Entries separated by commas, such as `github.com`, `*.example.org:443`, `10.0.0.5:4873`,
 * `GET|HEAD http://deb.example/debian/*`.
 */
export const egressRules: Parse<readonly EgressRule[]> = (value) =>
  value
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean)
    .map((one) => egressRule(one) ?? refuse(one));

function refuse(text: string): never {
  throw new ConfigMistake(
    "config_invalid_egress",
    `${JSON.stringify(text)} is not host, *.suffix, host:port, or METHOD http://host/path/*`,
  );
}
