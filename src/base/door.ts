import { TailraceError } from "./errors.ts";

/** The optional dependencies and the versions to install: the same as in package.json, which a test compares. */
export const optionalPackages = {
  "@connectrpc/connect": "2.2.0",
  "@connectrpc/connect-node": "2.2.0",
  "@connectrpc/connect-web": "2.2.0",
  "@nats-io/jetstream": "3.4.0",
  "@nats-io/kv": "3.4.0",
  "@nats-io/transport-node": "3.4.0",
  ajv: "8.20.0",
} as const;

export type OptionalPackage = keyof typeof optionalPackages;

/** An export of this package whose implementation needs optional dependencies. */
export interface Door {
  /** What users import: "tailrace/server". */
  part: string;
  packages: readonly OptionalPackage[];
}

/**
 * Loads the implementation of a door: `await openDoor(door, () => import("./implementation.ts"))`. The import must be
 * dynamic: a static one fails before any code of ours runs, with a message that says nothing of what to install.
 * Throws `part_missing` when one of the door's packages is not installed; any other failure passes as it is.
 */
export async function openDoor<Implementation>(
  door: Door,
  load: () => Promise<Implementation>,
): Promise<Implementation> {
  try {
    return await load();
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ERR_MODULE_NOT_FOUND") throw error;
    const missing = door.packages.filter((name) => !isInstalled(name));
    if (missing.length === 0) throw error;
    throw new TailraceError("part_missing", { part: door.part, packages: missing }, advice(door.part, missing), {
      cause: error,
    });
  }
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}

function advice(part: string, missing: readonly OptionalPackage[]): string {
  const packages = missing.map((name) => `${name}@${optionalPackages[name]}`).join(" ");
  return (
    `${part} needs packages that are not installed. Install them with: npm install ${packages} ` +
    "(npm leaves optional dependencies out with --omit=optional, and without a word when npm itself runs on a Node " +
    "older than they ask for)"
  );
}
