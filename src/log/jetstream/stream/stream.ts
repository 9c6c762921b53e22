import type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { apiCodeOf, isNoAnswer, type OtherStream, otherConfiguration, silent, streamSilent } from "../errors.ts";
import { streamInfo } from "./info.ts";
import { bucketSettings, differencesOf, logSettings, type Settings, type StreamOptions } from "./settings.ts";
import { bucketStreamOf, streamOf } from "./subjects.ts";

/** Error codes of JetStream for a stream that exists with another configuration, and for one that does not exist. */
const nameInUse = 10058;
const streamNotFound = 10059;

/**
 * The stream of a namespace, and that of its bucket, made if they do not exist. What is there is read back: a server that
 * does not know a setting leaves it out without a word.
 *
 * @throws TailraceError `log_open_failed` for those with another configuration, and what the client throws.
 */
export async function ensureStreams(manager: JetStreamManager, options: StreamOptions): Promise<void> {
  const all = [logSettings(options), bucketSettings(options)];
  const found = await Promise.all(all.map(({ stream }) => findStream(manager, stream)));
  // Before anything is made, and of both at once: who changes what is said finds nothing more to change.
  assertSuitable(all.map((settings, i) => [settings, found[i]]));
  for (const [i, settings] of all.entries()) {
    if (found[i] === undefined) assertSuitable([[settings, await make(manager, settings)]]);
  }
}

/** As `ensureStreams`, the stream of a namespace alone. */
export async function ensureStream(manager: JetStreamManager, options: StreamOptions): Promise<StreamInfo> {
  const settings = logSettings(options);
  const info = (await findStream(manager, settings.stream)) ?? (await make(manager, settings));
  assertSuitable([[settings, info]]);
  return info;
}

export async function findStream(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await streamInfo(manager, name);
  } catch (error) {
    if (isNoStream(error)) return undefined;
    throw error;
  }
}

/**
 * Which part of NATS does not answer, as the operator is to hear it, after something that was asked while a log was opened
 * got no answer for `natsOpenMs`.
 */
export async function silentPart(
  manager: JetStreamManager,
  servers: string,
  namespace: string,
  error: unknown,
): Promise<Error> {
  const streams = [streamOf(namespace), bucketStreamOf(namespace)];
  const isSilent = (question: Promise<unknown>) => question.then(() => false, isNoAnswer);
  const [all, ...each] = await Promise.all([
    isSilent(manager.getAccountInfo()),
    ...streams.map((stream) => isSilent(findStream(manager, stream))),
  ]);
  const found = streams.filter((_, i) => each[i]);
  return all || found.length === 0 ? silent(servers, error) : streamSilent(servers, found, error);
}

export function isNoStream(error: unknown): boolean {
  return apiCodeOf(error) === streamNotFound;
}

async function make(manager: JetStreamManager, { stream, made }: Settings): Promise<StreamInfo> {
  try {
    return await manager.streams.add({ name: stream, ...(made as Partial<StreamConfig>) });
  } catch (error) {
    if (apiCodeOf(error) !== nameInUse) throw error;
    // Whoever made it in this moment may have noted there already what log is in it. It may be gone again, or not there yet.
    return await streamInfo(manager, stream);
  }
}

function assertSuitable(all: readonly (readonly [Settings, StreamInfo | undefined])[]): void {
  const others: OtherStream[] = [];
  for (const [settings, info] of all) {
    if (info === undefined) continue;
    const differences = differencesOf(info.config, settings);
    if (differences.length > 0) others.push({ stream: settings.stream, differences });
  }
  if (others.length > 0) throw otherConfiguration(others);
}
