import { afterAll, beforeAll } from "bun:test";
import { createVerifier } from "../../src/auth/verify.ts";
import { readConfig } from "../../src/config/config.ts";
import { makeKey, type SigningKey, startIssuer } from "../auth/issuer.ts";
import { ask, type makeApp } from "./app.ts";

export interface Schema {
  $ref?: string;
  type?: string;
  format?: string;
  example?: unknown;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  anyOf?: Schema[];
  items?: Schema;
}
interface Operation {
  operationId: string;
  security?: Record<string, unknown>[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, unknown> }>;
}
export interface Route {
  method: string;
  path: string;
  operation: Operation;
}

/** Starts an issuer for the tests of a file. @returns it, and the options of an app that trusts it. */
export function guarded() {
  const here = {} as {
    issuer: Awaited<ReturnType<typeof startIssuer>>;
    key: SigningKey;
    /** A key that the issuer does not publish. */
    other: SigningKey;
  };
  beforeAll(async () => {
    [here.key, here.other] = await Promise.all([makeKey("key", "RS256"), makeKey("other", "RS256")]);
    here.issuer = await startIssuer(here.key);
  });
  afterAll(() => here.issuer.stop());
  const env = () => ({ AUTH_MODE: "oidc", KEYCLOAK_ISSUER: here.issuer.url });
  const verifier = () => createVerifier({ config: readConfig(env()).auth, dataDir: "/nonexistent" });
  return { here, options: () => ({ env: env(), verifier: verifier() }) };
}

/** The operations in the OpenAPI document that this app serves. */
export async function documentOf(app: ReturnType<typeof makeApp>) {
  const { body } = await ask(app, undefined, "GET", "/openapi.json");
  const routes: Route[] = Object.entries(body.paths as Record<string, Record<string, Operation>>).flatMap(
    ([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        operation,
      })),
  );
  return {
    routes,
    secured: routes.filter(({ operation }) => operation.security?.some((one) => "Bearer" in one)),
    schemas: body.components.schemas as Record<string, Schema>,
  };
}
