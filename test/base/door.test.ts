import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Door, openDoor, optionalPackages } from "../../src/base/door.ts";
import { hasReason } from "../../src/base/errors.ts";

const absent = { part: "tailrace/nowhere", packages: ["@tailrace-test/absent"] } as unknown as Door;

/** What Node says when a package is not there. */
const notFound = Object.assign(new Error("Cannot find package '@tailrace-test/absent'"), {
  code: "ERR_MODULE_NOT_FOUND",
});

describe("openDoor", () => {
  test("gives the implementation", async () => {
    await expect(openDoor(absent, async () => ({ answer: 42 }))).resolves.toEqual({ answer: 42 });
  });

  test("says what to install when a package of the door is missing", async () => {
    const error = await openDoor(absent, () => Promise.reject(notFound)).catch((reason: unknown) => reason);
    if (!hasReason(error, "part_missing")) throw new Error("not a part_missing", { cause: error });
    expect(error.details).toEqual({ part: "tailrace/nowhere", packages: ["@tailrace-test/absent"] });
    expect(error.message).toContain("tailrace/nowhere needs packages that are not installed");
    expect(error.message).toContain("npm install @tailrace-test/absent@");
    expect(error.cause).toBe(notFound);
  });

  test("passes a module on that is missing though all packages of the door are there", async () => {
    const door: Door = { part: "tailrace/server", packages: ["@connectrpc/connect"] };
    await expect(openDoor(door, () => Promise.reject(notFound))).rejects.toBe(notFound);
  });

  test("passes any other failure on as it is", async () => {
    const failure = new TypeError("a mistake in the implementation");
    await expect(openDoor(absent, () => Promise.reject(failure))).rejects.toBe(failure);
  });
});

test("the versions to install are those of package.json", () => {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
    optionalDependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  expect(manifest.optionalDependencies).toEqual(optionalPackages);
  // npm on Node 20 drops the optional entry, and only the development one keeps the package in the checkout.
  expect(manifest.devDependencies).toMatchObject(optionalPackages);
});
