import { CHANNELS, type QueueName } from "../queue/names.ts";
import {
  claimOutbox,
  markPublished,
  markUnpublished,
  nextOutboxMs,
  type OutboxMessage,
} from "../queue/outbox.ts";
import { messageOf } from "../shared/errors.ts";
import { startLoop } from "./loop.ts";
import { LONG_REST_MS, restWhile } from "./rest.ts";
import type { Task } from "./task.ts";

const BATCH = 100;
/** For retries; NOTIFY wakes the task for new rows. */
const INTERVAL_MS = 1_000;

/** Publishes the outbox to the queue. Any number of publishers may run at a time. */
export const outboxPublisher: Task = async ({ database, queue, metrics, logger }) => {
  const publish = async (topic: QueueName, messages: OutboxMessage[]) => {
    const ids = messages.map(({ id }) => id);
    try {
      await queue.publish(topic, messages);
    } catch (error) {
      metrics.published("failed", ids.length);
      await markUnpublished(database.orm, ids, messageOf(error));
      throw error;
    }
    metrics.published("done", ids.length);
    await markPublished(database.asyncCommit, ids);
  };

  const drain = async () => {
    for (;;) {
      // After a loss of power, what the queue does not know either is published again.
      const due = await claimOutbox(database.asyncCommit, BATCH);
      const byTopic = Map.groupBy(due, ({ topic }) => topic);
      await Promise.all([...byTopic].map(([topic, messages]) => publish(topic, messages)));
      if (due.length < BATCH) return;
    }
  };

  const restMs = restWhile(database, LONG_REST_MS, () => nextOutboxMs(database.orm));
  const loop = startLoop({ name: "outbox-publisher", intervalMs: INTERVAL_MS, restMs, logger, work: drain });
  const unlisten = await database.listen(CHANNELS.outbox, loop.wake);
  return {
    async stop() {
      await unlisten();
      await loop.stop();
    },
  };
};
