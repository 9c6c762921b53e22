// npm run bench [-- --only ours,redis --scenario fanout,replay --setting "100 watchers" --rounds 3 --pace 1]
import { rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Contender } from "./contenders/contract.ts";
import { scenarioNames } from "./contenders/contract.ts";
import { contenders } from "./contenders/index.ts";
import { BenchError } from "./harness/bench-error.ts";
import { buildProgram, temporaryDirectory } from "./harness/build.ts";
import { stopAll } from "./harness/children.ts";
import { renderChart } from "./report/chart.ts";
import { captionOf, describeMachine } from "./report/machine.ts";
import { writeResultFiles } from "./report/result-files.ts";
import type { Outcome } from "./report/statistics.ts";
import { short } from "./report/statistics.ts";
import { renderTables } from "./report/table.ts";
import type { Cell, CellContext, Figures } from "./scenarios/cell.ts";
import { clientCells } from "./scenarios/client.ts";
import { deliveryCells } from "./scenarios/delivery.ts";
import { interferenceCells } from "./scenarios/interference.ts";
import { jetstreamAppendCells } from "./scenarios/jetstream-append.ts";
import { jetstreamDeliveryCells } from "./scenarios/jetstream-delivery.ts";
import { jetstreamReplayCells } from "./scenarios/jetstream-replay.ts";
import { jetstreamSlopesCells } from "./scenarios/jetstream-slopes.ts";
import { memoryCells } from "./scenarios/memory.ts";
import { storageCells } from "./scenarios/storage.ts";

const usage = `npm run bench -- [options]
  --only NAMES      contenders, by name or by what stands before the first dash (ours,redis)
  --scenario NAMES  ${scenarioNames.join(", ")}
  --setting TEXT    only settings that contain this text ("100 watchers")
  --rounds N        rounds; contenders alternate within each (default 3)
  --pace F          factor on all counting windows (default 1; 0.3 for a quick look)
  --list            say what there is, and run nothing
  --note TEXT       goes into the results: what else ran on the machine, and whatever a reader must know
  --no-write        leave bench/results alone
`;

function readOptions() {
  try {
    return parseArgs({
      options: {
        only: { type: "string" },
        scenario: { type: "string" },
        setting: { type: "string" },
        rounds: { type: "string", default: "3" },
        pace: { type: "string", default: "1" },
        note: { type: "string", default: "" },
        list: { type: "boolean", default: false },
        "no-write": { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new BenchError(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}

function chosen<T extends { readonly name: string }>(all: readonly T[], names: string | undefined): readonly T[] {
  if (names === undefined) return all;
  const wanted = names.split(",");
  const matches = (item: T, name: string): boolean => item.name === name || item.name.startsWith(`${name}-`);
  for (const name of wanted) {
    if (!all.some((item) => matches(item, name))) throw new BenchError(`there is no "${name}"\n${usage}`);
  }
  return all.filter((item) => wanted.some((name) => matches(item, name)));
}

interface Row {
  readonly cell: Cell;
  readonly contender: Contender;
  readonly rounds: Figures[];
  readonly failures: string[];
}

function oneLine(figures: Figures): string {
  return Object.entries(figures)
    .filter(([, value]) => Number.isFinite(value))
    .map(([name, value]) => `${name}=${short(value)}`)
    .join(" ");
}

async function runRow(context: CellContext, row: Row, round: number): Promise<void> {
  const label = `round ${round} ${row.cell.scenario} [${row.cell.setting}] ${row.contender.name}`;
  try {
    const figures = await row.cell.measure(context, row.contender);
    row.rounds.push(figures);
    console.error(`${label}: ${oneLine(figures)}`);
  } catch (error) {
    if (!(error instanceof BenchError)) throw error;
    row.failures.push(error.message);
    console.error(`${label}: FAILED: ${error.message}`);
  }
}

function outcomeOf(row: Row): Outcome {
  return {
    contender: row.contender.name,
    title: row.contender.title,
    scenario: row.cell.scenario,
    setting: row.cell.setting,
    rounds: row.rounds,
    failures: row.failures,
  };
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) {
    console.log(usage);
    return;
  }
  const some = chosen(contenders, options.only);
  const scenarios = chosen(
    scenarioNames.map((name) => ({ name })),
    options.scenario,
  ).map(({ name }) => name);
  const cells = [
    ...[...deliveryCells, ...storageCells, ...interferenceCells, ...memoryCells, ...clientCells],
    ...[...jetstreamAppendCells, ...jetstreamDeliveryCells, ...jetstreamReplayCells, ...jetstreamSlopesCells],
  ].filter((cell) => scenarios.includes(cell.scenario) && cell.setting.includes(options.setting ?? ""));
  const rows: Row[] = [];
  for (const cell of cells) {
    for (const contender of some) {
      if (!contender.scenarios.includes(cell.scenario) || cell.excludes?.(contender) === true) continue;
      const missing = contender.missing();
      rows.push({ cell, contender, rounds: [], failures: missing === undefined ? [] : [`SKIPPED: ${missing}`] });
    }
  }
  if (options.list) {
    for (const row of rows) console.log(`${row.cell.scenario} [${row.cell.setting}] ${row.contender.name}`);
    return;
  }
  if (availableParallelism() < 2)
    throw new BenchError("two cores are needed: one for the server, one for the load client");
  for (const contender of new Set(rows.map((row) => row.contender))) {
    const missing = contender.missing();
    if (missing !== undefined) console.error(`\n!!! SKIPPED ${contender.title}: ${missing}\n`);
  }

  const memoryDirectory = temporaryDirectory(process.platform === "linux" ? "/dev/shm" : tmpdir());
  const diskDirectory = temporaryDirectory(tmpdir());
  const removeDirectories = (): void => {
    rmSync(memoryDirectory, { recursive: true, force: true });
    rmSync(diskDirectory, { recursive: true, force: true });
  };
  const interrupt = (signal: NodeJS.Signals): void => {
    stopAll();
    removeDirectories();
    console.error(`interrupted by ${signal}: nothing was written`);
    process.exit(1);
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    const context: CellContext = {
      programs: { load: buildProgram("load", memoryDirectory), limit: buildProgram("limit", memoryDirectory) },
      memoryDirectory,
      diskDirectory,
      pace: Number(options.pace),
    };
    // All contenders in one setting, then the next setting, then the next round: what changes on the machine meanwhile
    // changes for all of them.
    for (let round = 1; round <= Number(options.rounds); round++) {
      for (const row of rows) if (row.contender.missing() === undefined) await runRow(context, row, round);
    }
  } finally {
    removeDirectories();
  }

  const machine = describeMachine(scenarios.some((name) => name.startsWith("jetstream")));
  const caption = [captionOf(machine), options.note].filter(Boolean).join(". ");
  const outcomes = rows.map(outcomeOf);
  const tables = `${caption}.\nMedians of ${options.rounds} rounds (lowest to highest in brackets).\n\n${renderTables(outcomes)}`;
  console.log(tables);
  if (options["no-write"]) return;
  const name = writeResultFiles(join(import.meta.dirname, "results"), machine.date, {
    json: `${JSON.stringify({ machine, options, outcomes }, null, 1)}\n`,
    md: tables,
    svg: renderChart(outcomes, caption),
  });
  console.error(`wrote ${name}.{json,md,svg}`);
}

main().catch((error: unknown) => {
  if (error instanceof BenchError) {
    console.error(error.message);
    process.exit(1);
  }
  throw error;
});
