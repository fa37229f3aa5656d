import { expect, test } from "bun:test";
import { breaks, type OpenApi } from "./compatibility.ts";

const json = (name: string) => ({
  content: { "application/json": { schema: { $ref: `#/components/schemas/${name}` } } },
});
/** A small API with one of each kind of thing. */
const api = () =>
  ({
    paths: {
      "/health": { get: { operationId: "health", responses: { 200: json("Color") } } },
      "/things/{id}": {
        put: {
          operationId: "things_update",
          security: [{ Bearer: [] }],
          parameters: [
            { name: "id", in: "path", required: true, schema: { type: "string" } },
            { name: "q", in: "query", schema: { type: "string", enum: ["a", "b"] } },
          ],
          requestBody: { required: true, ...json("Input") },
          responses: { 200: json("Thing"), 404: json("Problem") },
        },
      },
    },
    components: {
      schemas: {
        Color: { type: "string", enum: ["red", "green"] },
        Input: {
          type: "object",
          required: ["name"],
          properties: {
            name: { type: "string" },
            size: { type: "number", nullable: true },
            data: {},
            color: { $ref: "#/components/schemas/Color" },
          },
        },
        Problem: { type: "object", required: ["msg"], properties: { msg: { type: "string" } } },
        Thing: {
          type: "object",
          required: ["id", "color", "at"],
          properties: {
            id: { type: "string" },
            at: { type: "string", format: "date-time" },
            note: { type: "string", nullable: true },
            color: { $ref: "#/components/schemas/Color" },
            parts: { type: "array", items: { $ref: "#/components/schemas/Problem" } },
          },
        },
      },
    },
  }) satisfies OpenApi;
// biome-ignore lint/suspicious/noExplicitAny: changes reach anywhere into the document.
type Change = (change: { put: any; schemas: any; paths: any }) => void;
const changed = (change: Change) => {
  const copy: ReturnType<typeof api> = structuredClone(api());
  change({ put: copy.paths["/things/{id}"].put, schemas: copy.components.schemas, paths: copy.paths });
  return breaks(api(), copy);
};
const PUT = "PUT /things/{id}";

test.each<[string, Change, string]>([
  ["a removed path", ({ paths }) => delete paths["/health"], "GET /health: is gone"],
  ["a removed method", ({ paths }) => delete paths["/things/{id}"].put, `${PUT}: is gone`],
  ["another operationId", ({ put }) => (put.operationId = "x"), `${PUT} operationId: things_update became x`],
  [
    "a schema that clients name",
    ({ schemas, put }) => {
      put.requestBody.content["application/json"].schema = schemas.Input;
      delete schemas.Input;
    },
    "schema Input: is gone",
  ],
  ["another name in the path", ({ put }) => (put.parameters[0].name = "thing_id"), `${PUT} path id: is gone`],
  ["a removed filter", ({ put }) => put.parameters.pop(), `${PUT} query q: is gone`],
  [
    "a filter with fewer words",
    ({ put }) => (put.parameters[1].schema.enum = ["a"]),
    `${PUT} query q: b is gone`,
  ],
  [
    "a filter that became required",
    ({ put }) => (put.parameters[1].required = true),
    `${PUT} query q: is required now`,
  ],
  [
    "a new required parameter",
    ({ put }) => put.parameters.push({ name: "x", in: "header", required: true }),
    `${PUT} header x: is new and required`,
  ],
  [
    "a token where none was needed",
    ({ paths }) => (paths["/health"].get.security = [{ Bearer: [] }]),
    "GET /health security: what was enough is not any more",
  ],
  [
    "one more credential",
    ({ put }) => (put.security = [{ Bearer: [], Key: [] }]),
    `${PUT} security: what was enough is not any more`,
  ],
  [
    "no JSON taken",
    ({ put }) => (put.requestBody.content = { "text/plain": {} }),
    `${PUT} request: takes no JSON any more`,
  ],
  [
    "a new required field",
    ({ schemas }) => {
      schemas.Input.properties.x = {};
      schemas.Input.required.push("x");
    },
    `${PUT} request.x: is required now`,
  ],
  [
    "a field that became required",
    ({ schemas }) => schemas.Input.required.push("data"),
    `${PUT} request.data: is required now`,
  ],
  [
    "a field that is no longer taken",
    ({ schemas }) => delete schemas.Input.properties.size,
    `${PUT} request.size: is gone`,
  ],
  [
    "another type of a field",
    ({ schemas }) => (schemas.Input.properties.name.type = "integer"),
    `${PUT} request.name: no longer takes string`,
  ],
  [
    "whole numbers only",
    ({ schemas }) => (schemas.Input.properties.size.type = "integer"),
    `${PUT} request.size: no longer takes number`,
  ],
  [
    "null not taken",
    ({ schemas }) => (schemas.Input.properties.size.nullable = false),
    `${PUT} request.size: no longer takes null`,
  ],
  [
    "not anything any more",
    ({ schemas }) => (schemas.Input.properties.data.type = "object"),
    `${PUT} request.data: no longer takes anything`,
  ],
  [
    "only some words",
    ({ schemas }) => (schemas.Input.properties.name.enum = ["a"]),
    `${PUT} request.name: takes only some values now`,
  ],
  [
    "only a format",
    ({ schemas }) => (schemas.Input.properties.name.format = "uuid"),
    `${PUT} request.name: takes only a uuid now`,
  ],
  ["fewer words", ({ schemas }) => (schemas.Color.enum = ["red"]), `${PUT} request.color: green is gone`],
  [
    "no such reply",
    ({ put }) => delete put.responses[200],
    `${PUT} 200: there is no such JSON reply any more`,
  ],
  [
    "no such error",
    ({ put }) => delete put.responses[404],
    `${PUT} 404: there is no such JSON reply any more`,
  ],
  [
    "a field that is not given",
    ({ schemas }) => delete schemas.Thing.properties.note,
    `${PUT} 200.note: is gone`,
  ],
  [
    "a field that may be missing",
    ({ schemas }) => (schemas.Thing.required = ["id", "at"]),
    `${PUT} 200.color: may be missing now`,
  ],
  [
    "null where there was none",
    ({ schemas }) => (schemas.Thing.properties.id.nullable = true),
    `${PUT} 200.id: may now be null`,
  ],
  [
    "another type that is given",
    ({ schemas }) => (schemas.Thing.properties.id.type = "integer"),
    `${PUT} 200.id: may now be integer`,
  ],
  [
    "anything where there was text",
    ({ schemas }) => delete schemas.Thing.properties.id.type,
    `${PUT} 200.id: may now be anything`,
  ],
  [
    "a date that is any text",
    ({ schemas }) => delete schemas.Thing.properties.at.format,
    `${PUT} 200.at: need not be a date-time now`,
  ],
  [
    "a word that nobody knows",
    ({ schemas }) => schemas.Color.enum.push("blue"),
    `${PUT} 200.color: blue is new, which no client knows`,
  ],
  ["any word", ({ schemas }) => delete schemas.Color.enum, `${PUT} 200.color: may be any value now`],
  [
    "a change inside a list",
    ({ schemas }) => delete schemas.Problem.properties.msg,
    `${PUT} 200.parts[].msg: is gone`,
  ],
])("%s breaks clients", (_what, change, expected) => {
  expect(changed(change)).toContain(expected);
});

test.each<[string, Change]>([
  ["nothing", () => {}],
  ["a new path", ({ paths, put }) => (paths["/new"] = { post: put })],
  ["a new schema", ({ schemas }) => (schemas.New = {})],
  ["a new filter", ({ put }) => put.parameters.push({ name: "limit", in: "query" })],
  ["one more word for a filter", ({ put }) => put.parameters[1].schema.enum.push("c")],
  ["another way in", ({ put }) => put.security.push({ Key: [] })],
  ["a body that may be missing", ({ put }) => (put.requestBody.required = false)],
  ["a new optional field", ({ schemas }) => (schemas.Input.properties.x = { type: "string" })],
  ["a field that became optional", ({ schemas }) => (schemas.Input.required = [])],
  ["null taken, too", ({ schemas }) => (schemas.Input.properties.name.nullable = true)],
  ["a new field of a reply", ({ schemas }) => (schemas.Thing.properties.x = { type: "string" })],
  ["a field that is always there now", ({ schemas }) => schemas.Thing.required.push("note")],
  ["a field that is never null now", ({ schemas }) => (schemas.Thing.properties.note.nullable = false)],
  ["the same in place of a reference", ({ schemas }) => (schemas.Thing.properties.color = schemas.Color)],
  [
    "the same with null in two ways",
    ({ schemas }) =>
      (schemas.Thing.properties.note = {
        anyOf: [{ type: "string" }, { type: "string", enum: [null], nullable: true }],
      }),
  ],
])("%s breaks nobody", (_what, change) => {
  expect(changed(change)).toEqual([]);
});
