/** The result of a call, and the response that it came in. */
export interface WithResponse<T> {
  data: T;
  /** Its body is not read yet. */
  response: Response;
  requestId: string | undefined;
}

/** Resolves with the result of a call; the response is there for those who want its status or headers. */
export class APIPromise<T> extends Promise<T> {
  /** `then` and the like return ordinary promises. */
  static override get [Symbol.species]() {
    return Promise;
  }

  readonly #settled: Promise<{ data: T; response: Response }>;

  constructor(settled: Promise<{ data: T; response: Response }>) {
    super((resolve, reject) => {
      settled.then(({ data }) => resolve(data), reject);
    });
    this.#settled = settled;
  }

  async withResponse(): Promise<WithResponse<T>> {
    // A failure is reported by the promise that this returns, and by no other.
    this.catch(() => undefined);
    const { data, response } = await this.#settled;
    return {
      data,
      response: response.clone(),
      requestId: response.headers.get("x-request-id") ?? undefined,
    };
  }

  async asResponse(): Promise<Response> {
    return (await this.withResponse()).response;
  }
}
