import { onTestFinished } from "vitest";
import { scratchDirectory } from "../../support/scratch.ts";
import { type Cluster, type ClusterOptions, openCluster } from "./cluster.ts";

/** A cluster that ends with the test. */
export async function startCluster(options: Omit<ClusterOptions, "directory"> = {}): Promise<Cluster> {
  const directory = scratchDirectory();
  const cluster = await openCluster({ ...options, directory });
  onTestFinished(() => cluster.close());
  return cluster;
}
