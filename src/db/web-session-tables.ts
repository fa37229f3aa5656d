import { index, pgTable, text } from "drizzle-orm/pg-core";
import { at } from "./columns.ts";

/** Browsers that are signed in. Who it is and what they may do is in the token, which only the browser's cookie opens. */
export const webSession = pgTable(
  "web_session",
  {
    /** Hexadecimal SHA-256 of the cookie's secret. */
    id: text("id").primaryKey(),
    userId: text("user_id").notNull(),
    /** The bearer token, and what renews it, encrypted with a key that is derived from the cookie's secret. */
    sealedTokens: text("sealed_tokens").notNull(),
    /** When the token is renewed. Null: it cannot be. */
    refreshAt: at("refresh_at"),
    /** Until when one request alone renews it. */
    refreshLeaseUntil: at("refresh_lease_until"),
    createdAt: at("created_at").notNull().defaultNow(),
    /** Moves with its use, but never beyond a bound that counts from its creation. */
    expiresAt: at("expires_at").notNull(),
  },
  (t) => [index("web_session_user").on(t.userId), index("web_session_expires").on(t.expiresAt)],
);

/** Codes of sign-in links that were used, for as long as they would be valid. */
export const usedSignInCode = pgTable(
  "used_sign_in_code",
  {
    /** Hexadecimal SHA-256 of the code. */
    hash: text("hash").primaryKey(),
    expiresAt: at("expires_at").notNull(),
  },
  (t) => [index("used_sign_in_code_expires").on(t.expiresAt)],
);
