import type { User } from "../auth/claims.ts";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";

/** Sign-ins that wait while the database is slow or away; further ones are counted in the log alone. */
const MAX_WAITING = 1_000;

/** Records sign-ins. No request waits for it, and those that come together are one statement. */
export interface SignIns {
  record(user: User): void;
  /** Resolves once everything is stored, or could not be. */
  close(): Promise<void>;
}

export function openSignIns({ orm, logger }: { orm: Orm; logger: Logger }): SignIns {
  let waiting: User[] = [];
  let storing: Promise<void> | undefined;

  const store = async () => {
    while (waiting.length > 0) {
      const users = waiting;
      waiting = [];
      try {
        await recordAudit(
          orm,
          ...users.map(({ id, roles, expiresAt }) => ({
            actor: id,
            action: "auth.sign_in" as const,
            target: `user:${id}`,
            detail: { admin: roles.includes("admin"), until: new Date(expiresAt).toISOString() },
          })),
        );
      } catch (error) {
        logger.warn("sign-ins were not recorded", { count: users.length, error: messageOf(error) });
      }
    }
    storing = undefined;
  };

  return {
    record(user) {
      if (waiting.length < MAX_WAITING) waiting.push(user);
      else logger.warn("a sign-in was not recorded: too many wait", { user: user.id });
      storing ??= store();
    },
    close: async () => storing,
  };
}
