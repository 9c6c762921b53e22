#!/usr/bin/env node
// The version is looked at before anything of ours is loaded: an older Node would fail on syntax or lose data, and its own
// message would not say why.
const lowestNode = [24, 15];
const lowestSqlite = [3, 51, 3];

function isBelow(version: string, lowest: readonly number[]): boolean {
  const parts = version.replace(/^v/, "").split(".").map(Number);
  for (const [index, wanted] of lowest.entries()) {
    const part = parts[index] ?? 0;
    if (part !== wanted) return part < wanted;
  }
  return false;
}

function versionProblem(): string | undefined {
  if (isBelow(process.version, lowestNode)) {
    return `tailrace needs Node ${lowestNode.join(".")} or later, and this is ${process.version}. Install a newer Node (https://nodejs.org).`;
  }
  const sqlite = process.versions["sqlite"];
  if (sqlite === undefined || isBelow(sqlite, lowestSqlite)) {
    return `tailrace needs a Node with SQLite ${lowestSqlite.join(".")} or later (older ones have a bug that loses data), and this one has ${sqlite ?? "none"}. Install a newer Node (https://nodejs.org).`;
  }
  return undefined;
}

const problem = versionProblem();
if (problem !== undefined) {
  process.stderr.write(`${problem}\n`);
  process.exitCode = 1;
} else {
  const { main } = await import("./program.ts");
  await main(process.argv.slice(2));
}

export {};
