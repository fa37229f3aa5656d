import { createPostgresBackend, type Job, type JobsOptions, Queue, Worker, type WorkerOptions } from "bullmq";
import type { Redis, RedisOptions } from "ioredis";
import type { Database } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import { messageOf } from "../shared/errors.ts";
import type { Payloads, QueueName } from "./names.ts";
import type { OutboxMessage } from "./outbox.ts";
import { connectRedis } from "./redis.ts";

/** The queue. It may lose all jobs at any time: the database has the state of all work. */
export interface QueueBackend {
  readonly kind: "redis" | "postgres" | "embedded";
  /** Adds jobs to a queue, except those whose id it still has. Rejects while the queue is unavailable. */
  publish(queue: QueueName, messages: readonly OutboxMessage[]): Promise<void>;
  /**
   * Handles the jobs of a queue, `concurrency` at a time. Errors of the handler are logged; the work is retried by the
   * session-poller, not by the queue.
   */
  work<Name extends QueueName>(options: {
    queue: Name;
    concurrency: number;
    handle: (payload: Payloads[Name]) => Promise<void>;
  }): QueueWorker;
  close(): Promise<void>;
}

export interface QueueWorker {
  /** Takes no new jobs; resolves when the running ones have ended. */
  stop(): Promise<void>;
}

/** The id of a job may be used again once the job was handled. */
const JOB: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };
/** The job of a dead worker is detected after at most the sum of both. The lease, not this lock, isolates runs. */
const LOCK_MS = 15_000;
const STALLED_CHECK_MS = 10_000;
/**
 * Seconds after which an idle worker looks for jobs without being told of one. Embedded, it is told of all; each look is four
 * statements.
 */
const DRAIN_DELAY_S = { redis: 5, postgres: 5, embedded: 60 };

/**
 * BullMQ on the Redis of REDIS_URL, else on the database.
 * @throws OperatorError when Redis cannot be reached.
 */
export async function openQueue(options: {
  redisUrl: string | undefined;
  database: Database;
  metrics: Metrics;
  logger: Logger;
  signal?: AbortSignal;
}): Promise<QueueBackend> {
  const { redisUrl, database, metrics, logger, signal } = options;
  const redis = redisUrl === undefined ? undefined : await connectRedis(redisUrl, logger, signal);
  const make = redis ? onRedis(redis) : onPostgres(database);
  const kind = redis ? "redis" : database.kind;
  const queues = new Map<QueueName, Publisher>();
  const queueOf = (name: QueueName): Publisher => {
    const known = queues.get(name);
    if (known) return known;
    const queue = make.queue(name, { defaultJobOptions: JOB });
    queue.on("error", (error) => logger.warn("queue error", { queue: name, error: messageOf(error) }));
    queues.set(name, queue);
    return queue;
  };

  return {
    kind,

    async publish(name, messages) {
      if (redis && redis.status !== "ready") throw new Error("Redis is not connected");
      await queueOf(name).addBulk(
        messages.map(({ id, payload }) => ({ name, data: payload, opts: { jobId: id } })),
      );
    },

    work({ queue: name, concurrency, handle }) {
      const timed = async (job: Job) => {
        const began = performance.now();
        const seconds = () => (performance.now() - began) / 1000;
        try {
          await handle(job.data);
          metrics.job({ task: name, outcome: "done" }, seconds());
        } catch (error) {
          metrics.job({ task: name, outcome: "failed" }, seconds());
          throw error;
        }
      };
      const worker = make.worker(name, timed, {
        concurrency,
        lockDuration: LOCK_MS,
        drainDelay: DRAIN_DELAY_S[kind],
        stalledInterval: STALLED_CHECK_MS,
        maxStalledCount: 1000,
      });
      worker.on("error", (error) =>
        logger.warn("queue worker error", { queue: name, error: messageOf(error) }),
      );
      worker.on("failed", (_job, error) => logger.error("a job failed", { queue: name, error }));
      return { stop: () => worker.close() };
    },

    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
      redis?.disconnect();
    },
  };
}

type Handler = (job: Job) => Promise<void>;
type Publisher = Pick<Queue, "addBulk" | "close"> & {
  on(event: "error", listener: (error: Error) => void): unknown;
};
type Consumer = Pick<Worker, "close"> & {
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "failed", listener: (job: unknown, error: Error) => void): unknown;
};
interface Makers {
  queue(name: string, settings: { defaultJobOptions: JobsOptions }): Publisher;
  worker(name: string, handle: Handler, settings: Omit<WorkerOptions, "connection">): Consumer;
}

function onRedis(redis: Redis): Makers {
  // While Redis is unavailable, publishers fail at once (the outbox retries) and workers wait.
  const waiting: RedisOptions = { enableOfflineQueue: true, maxRetriesPerRequest: null };
  return {
    queue: (name, settings) => new Queue(name, { connection: redis, ...settings }),
    worker(name, handle, settings) {
      const connection = redis.duplicate(waiting);
      const worker = new Worker(name, handle, { connection, ...settings });
      // BullMQ does not close a connection that it did not open.
      worker.on("closed", () => connection.disconnect());
      return worker;
    },
  };
}

function onPostgres(database: Database): Makers {
  const connection = database.queuePool();
  return {
    queue: (name, settings) => new Queue(name, { connection, ...settings }, createPostgresBackend),
    worker: (name, handle, settings) =>
      new Worker(name, handle, { connection, ...settings }, createPostgresBackend),
  };
}
