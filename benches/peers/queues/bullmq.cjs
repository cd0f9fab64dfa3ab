// BullMQ: `worker` works until a signal; `bulk N` and `single N` are its client, timed from before the first add until
// the last job has completed.
//
// CommonJS, since only `require` finds packages by NODE_PATH.
'use strict';

const { Queue, Worker } = require('bullmq');

const QUEUE = 'peers';
const WORKER_CONCURRENCY = 100; // jobs of one process: they wait for Redis only
const CHUNK = 500; // as many per call as in Fusebox's batches
const IN_FLIGHT = 64; // as many as connections of Fusebox's client
const WARM_UP_JOBS = 1000; // enough for the compiler of V8
const LOOK_EVERY_MS = 10;
const GIVE_UP_MS = 300_000;

const url = new URL(process.env.PEERS_REDIS);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };

async function work() {
  const worker = new Worker(QUEUE, async () => null, { connection, concurrency: WORKER_CONCURRENCY });
  process.once('SIGTERM', async () => {
    await worker.close();
    process.exit(0);
  });
}

async function addInBulk(queue, jobs) {
  const ids = [];
  for (let start = 0; start < jobs; start += CHUNK) {
    const chunk = Array.from({ length: Math.min(CHUNK, jobs - start) }, () => ({ name: 'noop', data: {} }));
    ids.push(...(await queue.addBulk(chunk)).map((job) => job.id));
  }
  return ids;
}

async function addSingly(queue, jobs) {
  const ids = [];
  let left = jobs;
  const lane = async () => {
    while (left-- > 0) ids.push((await queue.add('noop', {})).id);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return ids;
}

async function untilCompleted(queue, jobs) {
  const deadline = Date.now() + GIVE_UP_MS;
  let completed;
  while ((completed = await queue.getCompletedCount()) < jobs) {
    if (Date.now() > deadline) throw new Error(`only ${completed} of ${jobs} jobs completed`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

async function succeeded(queue, ids) {
  const completed = new Set((await queue.getCompleted(0, -1)).map((job) => job.id));
  return ids.filter((id) => completed.has(id)).length;
}

async function measure(add, jobs) {
  const queue = new Queue(QUEUE, { connection });
  await add(queue, WARM_UP_JOBS);
  await untilCompleted(queue, WARM_UP_JOBS);
  const started = performance.now();
  const ids = await add(queue, jobs);
  const added = performance.now();
  await untilCompleted(queue, WARM_UP_JOBS + jobs);
  const finished = performance.now();
  const ended = await succeeded(queue, ids);
  if (new Set(ids).size !== jobs || ended !== jobs) throw new Error(`${ended} of ${jobs} jobs completed`);
  console.log(JSON.stringify({
    tasks: jobs, seconds: (finished - started) / 1000, enqueue_seconds: (added - started) / 1000,
  }));
  await queue.close();
}

const [what, jobs] = process.argv.slice(2);
const run = {
  worker: work,
  bulk: () => measure(addInBulk, Number(jobs)),
  single: () => measure(addSingly, Number(jobs)),
}[what];
run().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
