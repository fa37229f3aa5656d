import { t } from "elysia";

/**
 * Elysia makes a module of all models, so that schemas may refer to each other by name, and makes it anew for each part of
 * the app that is added: with our hundred models and twenty parts that was a third of the time until the server listens.
 * None of our schemas refers to another by name (a test holds that), and Elysia then unwraps what it takes from the module.
 * This one only keeps them. Import it before the app is made.
 */
export function keepModelsPlain(): void {
  const module = ($defs: Readonly<Record<string, object>>) => ({
    $defs: Object.fromEntries(Object.entries($defs).map(([key, schema]) => [key, { ...schema, $id: key }])),
    Import(key: string) {
      return this.$defs[key];
    },
  });
  Object.assign(t, { Module: module });
}
