// Runs the tests under the newer Node, but for those of the package, which try both Nodes already, of the checkout's
// tools, which run on the pinned one only, and of faults in a cluster, which wait for minutes by the clock.
import { delimiter, join } from "node:path";
import { otherNodeDirectory } from "./other-node.ts";
import { checkout, run } from "./process.ts";

const leftOut = ["--exclude", "test/package/**", "--exclude", "test/tooling/**", "--exclude", "test/cluster/**"];

const directory = await otherNodeDirectory();
process.exitCode = await run(
  join(directory, "node"),
  [join(checkout, "node_modules/vitest/vitest.mjs"), "run", ...leftOut, ...process.argv.slice(2)],
  { env: { ...process.env, PATH: `${directory}${delimiter}${process.env["PATH"]}` } },
);
