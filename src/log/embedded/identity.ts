import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { EpochBeginning } from "../../events/epochs.ts";
import { codeOf, type FileSystem } from "./file-system.ts";
import { corrupt, newerFormat } from "./open-errors.ts";

const formatVersion = 1;

/** How acknowledged events are kept safe: on disk ("fsync"), or with the operating system ("process"). */
export type Durability = "fsync" | "process";

/**
 * What is known of a log apart from its segments, so that a log which was wiped, restored or cut short is noticed. It is
 * replaced whole, and synced in every mode.
 */
export interface IdentityRecord {
  readonly runtimeId: string;
  readonly generation: bigint;
  /** Sequences up to this one may have been given out. */
  readonly reservedThrough: number;
  /** The head of the log had come at least this far. */
  readonly highWater: number;
  /** Whether the log was closed in order, so that `highWater` is its very head and nothing need be skipped. */
  readonly clean: boolean;
  /** Durability in the session that wrote this, and which boot of the machine that was; empty: not known. */
  readonly durability: Durability;
  readonly bootId: string;
  /** When the lock's file was created; empty: not known. A copy of the directory has another. */
  readonly birthTime: string;
  readonly epochs: KeptEpochs;
}

/** The epochs of a log. One began whenever it was opened, and is left out if nothing came. */
export interface KeptEpochs {
  readonly beginnings: readonly EpochBeginning[];
  /** Sequence up to which there were more. */
  readonly forgottenThrough: number;
}

/** The identity of the log in `directory`; undefined if it has none. @throws TailraceError `log_open_failed`. */
export async function readIdentity(fileSystem: FileSystem, directory: string): Promise<IdentityRecord | undefined> {
  const path = join(directory, "identity");
  let text: string;
  try {
    text = new TextDecoder().decode(await fileSystem.readFile(path));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const lineEnd = text.indexOf("\n");
  const json = text.slice(0, Math.max(0, lineEnd));
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(json) as Record<string, unknown>;
  } catch {
    throw corrupt(path, 0, "it is no identity of a log");
  }
  if (typeof fields["format"] === "number" && fields["format"] > formatVersion) {
    throw newerFormat(path, fields["format"], formatVersion);
  }
  if (text.slice(lineEnd + 1) !== `${checksumOf(json)}\n`)
    throw corrupt(path, lineEnd + 1, "its checksum does not fit");
  return {
    runtimeId: fields["runtimeId"] as string,
    generation: BigInt(`0x${fields["generation"] as string}`),
    reservedThrough: fields["reservedThrough"] as number,
    highWater: fields["highWater"] as number,
    clean: fields["clean"] as boolean,
    durability: fields["durability"] as Durability,
    bootId: fields["bootId"] as string,
    birthTime: fields["birthTime"] as string,
    epochs: fields["epochs"] as KeptEpochs,
  };
}

/** Replaces the identity. Settles when it survives the loss of power. */
export async function writeIdentity(fileSystem: FileSystem, directory: string, record: IdentityRecord): Promise<void> {
  const generation = record.generation.toString(16).padStart(16, "0");
  const json = JSON.stringify({ format: formatVersion, ...record, generation });
  const bytes = new TextEncoder().encode(`${json}\n${checksumOf(json)}\n`);
  await replaceFile(fileSystem, directory, "identity", bytes);
}

/** Replaces a file so that there is the old one or the new one, whole, at any time. */
export async function replaceFile(
  fileSystem: FileSystem,
  directory: string,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const temporary = join(directory, `${name}.tmp`);
  try {
    const file = await fileSystem.open(temporary, true);
    try {
      await file.write(bytes, 0);
      await file.datasync();
    } finally {
      await file.close();
    }
    await fileSystem.rename(temporary, join(directory, name));
  } catch (error) {
    await fileSystem.remove(temporary).catch(() => undefined);
    throw error;
  }
  await fileSystem.syncDirectory(directory);
}

/** Which boot of the machine this is; empty where the system does not tell. */
export async function currentBootId(): Promise<string> {
  return readFile("/proc/sys/kernel/random/boot_id", "utf8").then(
    (text) => text.trim(),
    () => "",
  );
}

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, "0");
}
