import { afterEach, expect, mock, spyOn, test } from "bun:test";
import { contentReply, createContentCache } from "../../src/server/content.ts";
import { makeApp } from "../harness/app.ts";

// The cause: the promise of the first read was cached for ever, also when it was rejected.
afterEach(() => void mock.restore());

const statuses = async (path: string) => {
  const app = makeApp();
  const get = () => app.handle(new Request(`http://localhost${path}`)).then(({ status }) => status);
  return [await get(), await get()];
};

test("a page's asset whose first read failed is read again", async () => {
  spyOn(Bun, "file").mockImplementationOnce(
    () => ({ bytes: () => Promise.reject(new Error("too many open files")) }) as never,
  );
  expect(await statuses("/swagger-ui/swagger-ui.css")).toEqual([500, 200]);
});

test("a page whose asset could not be read at first is assembled again", async () => {
  spyOn(Bun, "file").mockImplementationOnce(
    () => ({ bytes: () => Promise.reject(new Error("too many open files")) }) as never,
  );
  expect(await statuses("/rapidoc/")).toEqual([500, 200]);
});

test("an OpenAPI document whose first generation failed is generated again", async () => {
  spyOn(Response.prototype, "json").mockImplementationOnce(() => Promise.reject(new Error("out of memory")));
  expect(await statuses("/openapi.json")).toEqual([500, 200]);
});

test("content is compressed from 1 KiB, and smaller only for a client that refuses it otherwise", async () => {
  const encodingOf = async (size: number, accept: string) => {
    const content = await createContentCache()("page", () => "x".repeat(size));
    const request = new Request("http://x/", { headers: { "accept-encoding": accept } });
    return (await contentReply(request, "html", content)).headers.get("content-encoding");
  };
  expect(await encodingOf(1024, "gzip")).toBe("gzip");
  expect(await encodingOf(1023, "gzip")).toBeNull();
  expect(await encodingOf(1023, "gzip, identity;q=0")).toBe("gzip");
});
