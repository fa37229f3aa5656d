import { afterEach, expect, test } from "bun:test";
import { keepSignedIn, wasSignedIn } from "../../../src/console/early.ts";
import { keep, kept } from "../../../src/console/ui/storage.ts";

afterEach(() => void Reflect.deleteProperty(globalThis, "localStorage"));

/** The page's storage, as a browser gives it to the page. */
const give = (get: () => unknown) =>
  Object.defineProperty(globalThis, "localStorage", { configurable: true, get });
const refuse = () => {
  throw new DOMException("The operation is insecure.", "SecurityError");
};

test("where the browser refuses to store anything, it is kept as long as the page", () => {
  give(refuse);
  expect(wasSignedIn()).toBe(false);
  keepSignedIn(true);
  expect(wasSignedIn()).toBe(true);
  keepSignedIn(false);
  expect(wasSignedIn()).toBe(false);
});

test("what there is no more room for is kept as long as the page, instead of what was kept before", () => {
  const texts = new Map([["draft", "a draft"]]);
  let room = false;
  give(() => ({
    getItem: (key: string) => texts.get(key) ?? null,
    setItem: (key: string, value: string) => (room ? texts.set(key, value) : refuse()),
    removeItem: (key: string) => texts.delete(key),
  }));
  expect(kept("draft")).toBe("a draft");
  keep("draft", "a draft that is too long");
  expect(kept("draft")).toBe("a draft that is too long");
  room = true;
  keep("draft", "a short one");
  expect(texts.get("draft")).toBe("a short one");
  keep("draft", undefined);
  expect(kept("draft")).toBeUndefined();
});
