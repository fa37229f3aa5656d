import { Link } from "@tanstack/react-router";

const SMTP_PORT = 25;
const PRIVATE =
  /^(?:localhost$|127\.|10\.|192\.168\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.|0\.|::|f[cd][\da-f]{2}:|fe[89ab][\da-f]:)/i;

interface Target {
  host: string;
  port: number;
}

/** As the list of allowed hosts has it. */
export const targetOf = ({ host, port }: Target) => `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** Why no project can allow it. Undefined: as far as it can be seen here, one can. */
export function whyNever({ host, port }: Target): string | undefined {
  if (PRIVATE.test(host)) return "Private: only the operator can allow it.";
  return port === SMTP_PORT ? "Mail: only the operator can allow it." : undefined;
}

/** Leads to the project of a repository, with a host that was refused in its list, to be saved there. */
export function AllowHost({ repo, target }: { repo: string; target: string }) {
  return (
    <Link
      className="button"
      to="/p/new"
      search={{ repo, allow: target }}
      aria-label={`Allow for this repository: ${target}`}
    >
      Allow for this repository
    </Link>
  );
}
