/** A reply of the stand-in. */
export interface StandInReply {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
  /** Whether it may be what GitHub never sends: it is then not checked. A string is sent as it is. */
  hostile?: true;
}

const DOCUMENTATION = "https://docs.github.com/rest";

/** An error in GitHub's form. */
export const refusal = (
  status: number,
  message: string,
  more: { errors?: readonly object[]; headers?: Record<string, string> } = {},
): StandInReply => ({
  status,
  body: {
    message,
    documentation_url: DOCUMENTATION,
    ...(more.errors ? { errors: more.errors } : { status: String(status) }),
  },
  ...(more.headers && { headers: more.headers }),
});

/** A request whose content is refused for a reason that has no code of its own. */
export const invalid = (message: string, resource = "PullRequest"): StandInReply =>
  refusal(422, "Validation Failed", { errors: [{ resource, code: "custom", message }] });

/** The rate limit of an hour is spent, until `seconds` from now. */
export const rateLimited = (seconds: number): StandInReply =>
  refusal(403, "API rate limit exceeded for user ID 1.", {
    headers: {
      "x-ratelimit-limit": "5000",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": String(Math.ceil(Date.now() / 1000) + seconds),
    },
  });

/** Too many requests at once. GitHub does not always say for how long. */
export const secondaryLimited = (seconds?: number): StandInReply =>
  refusal(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", {
    headers: seconds === undefined ? {} : { "retry-after": String(seconds) },
  });
