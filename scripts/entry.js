// First step of every npm script: ends with a clear message unless this is the Node that the checkout pins.
// Plain JavaScript in old syntax, since a wrong Node must be able to read it.
import { realpathSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** First SQLite without the WAL-reset bug, which loses data; Node 24.15.0 carries it. */
const LOWEST_SQLITE = [3, 51, 3];

const checkout = realpathSync(join(dirname(fileURLToPath(import.meta.url)), ".."));

function isBelow(version, lowest) {
  const parts = version.split(".").map(Number);
  for (let index = 0; index < lowest.length; index++) {
    if (parts[index] !== lowest[index]) return parts[index] < lowest[index];
  }
  return false;
}

function problem() {
  if (!realpathSync(process.execPath).startsWith(checkout + sep)) {
    return (
      `this is Node ${process.version} of the system, not the one that the checkout pins.\n` +
      "Run `npm ci` (install scripts allowed, since the package `node` fetches its binary with one), then start the\n" +
      "command with `npm run` or `npm test`, which put the pinned Node first on the path."
    );
  }
  const sqlite = process.versions.sqlite;
  if (sqlite === undefined || isBelow(sqlite, LOWEST_SQLITE)) {
    return (
      `Node ${process.version} carries SQLite ${sqlite}; ${LOWEST_SQLITE.join(".")} or later is needed, because older\n` +
      "ones have a bug that loses data. Node 24.15.0 and later are fine: run `npm ci` again."
    );
  }
  return undefined;
}

const message = problem();
if (message !== undefined) {
  console.error(`tailrace: ${message}`);
  process.exit(1);
}
