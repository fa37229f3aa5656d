/** Every kind of configuration mistake, printed behind each problem. docs/ERRORS.md explains each; a test compares the two. */
export const CONFIG_CODES = [
  "config_required",
  "config_unused",
  "config_conflict",
  "config_unprotected",
  "config_unencrypted",
  "config_invalid_integer",
  "config_invalid_amount",
  "config_invalid_choice",
  "config_invalid_url",
  "config_invalid_address",
  "config_invalid_origin",
  "config_invalid_command",
  "config_invalid_folder",
  "config_invalid_host",
  "config_invalid_prefix",
  "config_invalid_range",
  "config_invalid_egress",
  "config_invalid_forges",
  "config_invalid_agents",
  "config_invalid_prices",
  "config_invalid_secret",
  "config_invalid_key",
  "config_secret_too_short",
  "config_secret_file",
] as const;

export type ConfigCode = (typeof CONFIG_CODES)[number];

/** One problem of one variable. The message follows the variable's name and never quotes a secret. */
export class ConfigMistake extends Error {
  override readonly name = "ConfigMistake";
  constructor(
    readonly code: ConfigCode,
    message: string,
  ) {
    super(message);
  }
}
