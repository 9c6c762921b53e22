import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BenchError } from "../harness/bench-error.ts";
import { exchange } from "../harness/exchange.ts";
import { freePort, ServerProcess } from "../harness/server-process.ts";
import type { Contender, RunningServer, ScenarioName } from "./contract.ts";

const install = "run bench/system-packages.sh as root";
const watched: readonly ScenarioName[] = ["fanout", "open-loop", "single", "replay", "append", "idle", "stalled"];

function redis(
  name: string,
  title: string,
  durability: readonly string[],
  scenarios: readonly ScenarioName[],
): Contender {
  const pubsub = name === "redis-pubsub";
  return {
    name,
    title,
    scenarios,
    missing: () => (existsSync("/usr/bin/redis-server") ? undefined : `redis-server is not installed: ${install}`),
    async start(request) {
      const port = await freePort();
      const directory = durability.length > 0 ? request.diskDirectory : request.directory;
      const server = new ServerProcess("/usr/bin/redis-server", [
        ...["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
        ...["--maxclients", "12000", "--tcp-backlog", "4096"],
        ...["--client-output-buffer-limit", "pubsub 0 0 0", "--client-output-buffer-limit", "normal 0 0 0"],
        ...durability,
      ]);
      await exchange(port, "PING\r\n", (answer) => answer.includes("PONG"));
      return { port, pids: [server.pid], stop: () => server.stop() };
    },
    watch: () => ["--protocol", pubsub ? "redis-pubsub" : "redis-stream"],
    publish: () => ["--publisher", pubsub ? "redis-pubsub" : "redis-stream"],
    appends: {
      pipelined: ["--publisher", "redis-stream", "--publish-inflight", "1000"],
      "one at a time": ["--publisher", "redis-stream", "--publish-inflight", "1"],
    },
  };
}

export const redisStreams = redis("redis-streams", "Redis Streams", [], watched);
export const redisPubsub = redis(
  "redis-pubsub",
  "Redis pub/sub (not resumable)",
  [],
  ["fanout", "open-loop", "single"],
);
export const redisFsync = redis(
  "redis-fsync",
  "Redis Streams, AOF fsync always",
  ["--appendonly", "yes", "--appendfsync", "always"],
  ["append"],
);
export const redisEverySecond = redis(
  "redis-everysec",
  "Redis Streams, AOF every second",
  ["--appendonly", "yes", "--appendfsync", "everysec"],
  ["append"],
);

function nats(
  name: string,
  title: string,
  storage: "memory" | "file" | undefined,
  scenarios: readonly ScenarioName[],
): Contender {
  const dialect = storage === undefined ? "nats-core" : "nats-jetstream";
  return {
    name,
    title,
    scenarios,
    burstsAtManyWatchers: storage !== undefined,
    missing: () => (existsSync("/usr/sbin/nats-server") ? undefined : `nats-server is not installed: ${install}`),
    async start(request) {
      const port = await freePort();
      const configuration = join(request.directory, "nats.conf");
      const store = storage === "file" ? request.diskDirectory : request.directory;
      // The slow consumer limit is raised: the closed loop bounds what is under way.
      writeFileSync(
        configuration,
        `listen: "127.0.0.1:${port}"\nmax_connections: 20000\nmax_pending: 512MB\nwrite_deadline: "10s"\n${
          storage === undefined ? "" : `jetstream { store_dir: "${store}", max_mem: 4GB, max_file: 4GB }\n`
        }`,
      );
      const server = new ServerProcess("/usr/sbin/nats-server", ["-c", configuration], { GOMAXPROCS: "1" });
      await exchange(port, "PING\r\n", (answer) => answer.includes("PONG"));
      if (storage !== undefined) {
        const stream = JSON.stringify({
          name: "bench",
          subjects: ["bench"],
          storage,
          max_msgs: 200_000,
          num_replicas: 1,
        });
        const answer = await exchange(
          port,
          `CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB $JS.API.STREAM.CREATE.bench answer ${stream.length}\r\n${stream}\r\n`,
          (text) => text.includes("MSG answer") && text.includes("}"),
        );
        if (answer.includes('"error"')) throw new BenchError(`JetStream refused the stream: ${answer}`);
      }
      return { port, pids: [server.pid], stop: () => server.stop() };
    },
    watch: (watching) => ["--protocol", dialect, ...(watching.earliest === true ? ["--earliest"] : [])],
    publish: () => ["--publisher", dialect],
    ...(storage === undefined
      ? {}
      : {
          appends: {
            pipelined: ["--publisher", dialect, "--publish-inflight", "1000"],
            "one at a time": ["--publisher", dialect, "--publish-inflight", "1"],
          },
        }),
  };
}

export const natsCore = nats("nats-core", "NATS core (not resumable)", undefined, ["fanout", "open-loop", "single"]);
export const natsMemory = nats("nats-memory", "NATS JetStream, memory", "memory", watched);
export const natsFile = nats("nats-file", "NATS JetStream, file", "file", ["fanout", "replay", "append"]);

const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so";

function workersOf(master: number): readonly number[] {
  const children = readFileSync(`/proc/${master}/task/${master}/children`, "utf8");
  return children.trim().split(" ").filter(Boolean).map(Number);
}

export const nchan: Contender = {
  name: "nchan",
  title: "nginx with nchan, EventSource",
  scenarios: watched,
  missing: () => (existsSync(nchanModule) ? undefined : `libnginx-mod-nchan is not installed: ${install}`),
  async start(request): Promise<RunningServer> {
    const port = await freePort();
    const configuration = join(request.directory, "nginx.conf");
    writeFileSync(
      configuration,
      `load_module ${nchanModule};
daemon off; worker_processes 1; user root; pid ${request.directory}/nginx.pid; error_log stderr crit;
worker_rlimit_nofile 20000;
events { worker_connections 15000; }
http {
  access_log off; client_body_temp_path ${request.directory}; proxy_temp_path ${request.directory};
  fastcgi_temp_path ${request.directory}; uwsgi_temp_path ${request.directory}; scgi_temp_path ${request.directory};
  nchan_shared_memory_size 1G; keepalive_requests 100000000; tcp_nodelay on;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /publish { nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length ${request.retainEvents ?? 5000}; nchan_message_timeout 10m; }
    location = /live { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }
    location = /all { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message oldest; }
  }
}
`,
    );
    const server = new ServerProcess("/usr/sbin/nginx", ["-c", configuration, "-e", "stderr"]);
    await exchange(port, "GET /none HTTP/1.1\r\nHost: bench\r\n\r\n", (answer) => answer.includes("HTTP/1.1"));
    return { port, pids: [server.pid, ...workersOf(server.pid)], stop: () => server.stop("SIGTERM") };
  },
  watch: (watching) => ["--protocol", "sse", "--path", watching.earliest === true ? "/all" : "/live"],
  publish: () => ["--publisher", "nchan", "--publish-path", "/publish", "--publish-inflight", "64"],
  appends: {
    pipelined: ["--publisher", "nchan", "--publish-path", "/publish", "--publish-inflight", "64"],
    "one at a time": ["--publisher", "nchan", "--publish-path", "/publish", "--publish-inflight", "1"],
  },
};
