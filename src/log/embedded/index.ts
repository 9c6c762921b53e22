export type { FileSystem, LogFile } from "./file-system.ts";
export type { Durability } from "./identity.ts";
export { type EmbeddedLogOptions, openEmbeddedLog } from "./open.ts";
