/** A reply that is sent page by page, as fast as the client reads. It is not kept by caches. @param options.head goes before the first. */
export function pagesReply<Page>(
  pages: AsyncGenerator<Page, void, undefined>,
  options: { head?: string; textOf: (page: Page) => string; headers: Readonly<Record<string, string>> },
): Response {
  const { head, textOf, headers } = options;
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    start(controller) {
      if (head !== undefined) controller.enqueue(encoder.encode(head));
    },
    async pull(controller) {
      const { done, value } = await pages.next();
      if (done) return controller.close();
      controller.enqueue(encoder.encode(textOf(value)));
    },
    cancel: () => void pages.return(undefined),
  });
  return new Response(body, { headers: { ...headers, "cache-control": "no-store" } });
}
