import { cancellationEnforcer } from "./cancellation-enforcer.ts";
import { effectRunner } from "./effect-runner.ts";
import { ipReturnPoller } from "./ip-return-poller.ts";
import type { TaskName } from "./names.ts";
import { outboxPublisher } from "./outbox-publisher.ts";
import { promptRunner } from "./prompt-runner.ts";
import { retention } from "./retention.ts";
import { sessionPoller } from "./session-poller.ts";
import type { Task } from "./task.ts";
import { titleGenerator } from "./title-generator.ts";

export const TASKS: Readonly<Record<TaskName, Task>> = {
  "ip-return-poller": ipReturnPoller,
  "prompt-runner": promptRunner,
  "title-generator": titleGenerator,
  "effect-runner": effectRunner,
  "outbox-publisher": outboxPublisher,
  "session-poller": sessionPoller,
  "cancellation-enforcer": cancellationEnforcer,
  retention,
};
