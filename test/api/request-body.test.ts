import { expect, test } from "bun:test";
import { parseJson } from "../../src/api/request-body.ts";
import { AppError } from "../../src/shared/errors.ts";

const MIB = 1024 * 1024;
const parse = (text: string) => parseJson(Buffer.from(text));

/**
 * Cause: bodies may have 29 MB for the base64 in them, and as many brackets took 2.4 GB and held up all requests for 17
 * seconds.
 */
test.each([
  ["numbers", `{"data":[${"1,".repeat(MIB)}1]}`],
  ["lists", `{"data":[${"[],".repeat(MIB)}1]}`],
  ["empty texts", `{"data":[${'"",'.repeat(MIB)}1]}`],
  ["names of fields", `{"data":[${'{"a":""},'.repeat(MIB / 4)}1]}`],
  ["texts that end with a backslash", `{"data":[${'"\\\\",'.repeat(MIB)}1]}`],
  ["blanks", `{"data":${" ".repeat(MIB)}1}`],
])("a large body of %s is refused before it is parsed", (_name, text) => {
  expect(() => parse(text)).toThrow(
    new AppError("too_large", `The body has more than ${MIB} bytes outside of its texts.`),
  );
});

test("a large body is accepted whose texts make it large, whatever is in them", () => {
  const data = ["A".repeat(5 * MIB), '"[],:{}\\'.repeat(MIB), "é\\", '"'.repeat(2 * MIB)];
  expect(parse(JSON.stringify({ data }))).toEqual({ data });
});

test("a large body that ends within a text is not JSON", () => {
  for (const end of ["", "\\", '\\"'])
    expect(() => parse(`{"data":"${"A".repeat(MIB)}${end}`)).toThrow("not valid JSON");
});
