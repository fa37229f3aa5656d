import { APIError, ConnectionError } from "../../../sdk/src/index.ts";
import { Button } from "./button.tsx";

/** What happened, for a person: the service's own words where it has said something. */
export function describe(error: unknown): { text: string; requestId: string | undefined } {
  if (error instanceof APIError) return { text: error.msg, requestId: error.requestId };
  if (error instanceof ConnectionError)
    return {
      text: "The service cannot be reached. The page goes on as soon as it is back.",
      requestId: undefined,
    };
  return {
    text: error instanceof Error && error.message ? error.message : "Something in this page went wrong.",
    requestId: undefined,
  };
}

/** An error: what happened, the request's id, and the next step. */
export function Problem(options: { title: string; error: unknown; onRetry?: (() => void) | undefined }) {
  const { title, error, onRetry } = options;
  const { text, requestId } = describe(error);
  return (
    <div className="problem" role="alert">
      <h2>{title}</h2>
      <p>{text}</p>
      {requestId !== undefined && (
        <p className="muted">
          Request <code>{requestId}</code>: name it in a bug report.
        </p>
      )}
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}
