import { Type as t } from "@sinclair/typebox";
import { enumOf, nullable, outcome, Timestamp } from "../api/schemas.ts";

export const webSessionModels = {
  WebSessionOutput: t.Object({
    signed_in: t.Boolean({ description: "Whether requests of this browser have a user", examples: [true] }),
    user: nullable(
      t.Object({
        id: t.String({ examples: ["me"] }),
        name: nullable(t.String({ examples: ["Alice"] })),
        email: nullable(t.String({ examples: ["alice@example.com"] })),
        roles: t.Array(t.String(), { examples: [["admin"]] }),
      }),
    ),
    csrf_token: nullable(
      t.String({
        description: "Send it as X-CSRF-Token with every request that changes something",
        examples: ["m0rC9v7Jx0Q4yq8bq3k5o2l1n6p7r8s9t0u1v2w3x4y"],
      }),
    ),
    auth_mode: enumOf(["oidc", "local", "none"], { description: "AUTH_MODE", examples: ["local"] }),
    sign_in: enumOf(["oidc", "local", "none"], {
      description:
        "How a browser signs in: oidc, by GET /auth/sign-in; local, by the link of `prompt-backend open`; none, not at all: nobody needs to (auth_mode none), or OIDC_CLIENT_ID is not set",
      examples: ["local"],
    }),
    expires_at: nullable({ ...Timestamp, description: "When the session ends unless it is used again" }),
  }),
  SignInLocalInput: t.Object({
    code: t.String({
      maxLength: 200,
      description: "What follows `#code=` in the link",
      examples: ["t6ki8o.x0Qm3v5r8uBz1c4d7e9fGA.4f1c…"],
    }),
  }),
  SignInLocalOutput: t.Object(outcome),
  SignOutInput: t.Object({
    everywhere: t.Optional(
      t.Boolean({ description: "Also end the user's sessions of all other browsers", examples: [false] }),
    ),
  }),
  SignOutOutput: t.Object({
    ...outcome,
    sign_out_url: nullable(
      t.String({
        description: "Where to send the browser so that the identity provider ends its session as well",
        examples: ["https://sso.example.com/realms/main/protocol/openid-connect/logout?id_token_hint=…"],
      }),
    ),
  }),
};
