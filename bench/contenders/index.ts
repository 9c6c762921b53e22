import {
  natsCore,
  natsFile,
  natsMemory,
  nchan,
  redisEverySecond,
  redisFsync,
  redisPubsub,
  redisStreams,
} from "./brokers.ts";
import type { Contender } from "./contract.ts";
import { jetstreamContenders } from "./jetstream.ts";
import { betterSse, grpcJs, limit, plainConnectH1, plainConnectH2c, plainGrpc } from "./node-peers.ts";
import { ourContenders } from "./ours.ts";

/** In the order of the table. */
export const contenders: readonly Contender[] = [
  ...ourContenders,
  plainConnectH1,
  plainConnectH2c,
  plainGrpc,
  grpcJs,
  betterSse,
  nchan,
  redisStreams,
  redisPubsub,
  redisEverySecond,
  redisFsync,
  natsCore,
  natsMemory,
  natsFile,
  ...jetstreamContenders,
  limit,
];
