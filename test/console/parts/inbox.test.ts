import { expect, test } from "bun:test";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { inboxOf, neighbourOf } from "../../../src/console/inbox/groups.ts";

const session = (id: string, inboxStatus: SessionDto["inboxStatus"]) =>
  ({
    ...{ id, inboxStatus, sessionStatus: "Active", waitingFor: null, title: id, repo: "", branch: "" },
    ...{ targetBranch: "", updatedAt: id },
  }) as SessionDto;

test("when a session goes away the keyboard goes on to the next one, or to the one before, over headings", () => {
  const sessions = [session("c", "Processing"), session("b", "Pending"), session("a", "Pending")];
  const { lines } = inboxOf(sessions, "open", "");
  expect(lines).toHaveLength(5);
  expect(["c", "b", "a"].map((id) => neighbourOf(lines, id))).toEqual(["b", "a", "b"]);
  // The one before stands in another group.
  expect(neighbourOf(inboxOf(sessions.slice(0, 2), "open", "").lines, "b")).toBe("c");
});
