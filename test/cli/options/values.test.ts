import { expect, test, vi } from "vitest";
import {
  byteCount,
  count,
  durationMs,
  eventKind,
  instantMs,
  listenAddress,
  replicaCount,
  serverUrl,
  workerId,
} from "../../../src/cli/options/values.ts";

test("lengths of time, sizes and counts are read with their units", () => {
  expect(["500ms", "30s", "5m", "1h30m", "7d", "1.5h"].map(durationMs)).toEqual([
    500, 30_000, 300_000, 5_400_000, 604_800_000, 5_400_000,
  ]);
  expect(["1048576", "64MiB", "1GB", "1.5k", "10 KB"].map(byteCount)).toEqual([
    1_048_576, 67_108_864, 1_000_000_000, 1_536, 10_000,
  ]);
  expect(count("100000")).toBe(100_000);
});

test("what makes no sense is refused with an example of what would", () => {
  for (const text of ["", "5", "m", "5 m", "-5m", "5m!", "m5", "5y"])
    expect(() => durationMs(text)).toThrow(/for example 30s/);
  expect(["1", "2", "5"].map(replicaCount)).toEqual([1, 2, 5]);
  for (const text of ["6", "30"]) expect(() => replicaCount(text)).toThrow(/at most 5 replicas/);
  for (const text of ["", "MiB", "-1", "1XB", "1 2"]) expect(() => byteCount(text)).toThrow(/for example 1048576/);
  for (const text of ["", "-1", "1.5", "1e3", "ten"]) expect(() => count(text)).toThrow(/no whole number/);
  for (const parse of [count, byteCount]) expect(() => parse("0")).toThrow(/less than 1/);
  expect(() => count("99999999999999999999")).toThrow(/too large/);
  expect(() => workerId("é".repeat(129))).toThrow(/at most 256 bytes/);
  expect(workerId("é".repeat(128))).toHaveLength(128);
});

test("an instant is a time or how long ago", () => {
  vi.spyOn(Date, "now").mockReturnValue(1_000_000_000);
  expect(instantMs("5m")).toBe(1_000_000_000 - 300_000);
  expect(instantMs("2026-01-31T12:00:00Z")).toBe(Date.UTC(2026, 0, 31, 12));
  expect(instantMs("2026-01-31T12:00:00.5+02:00")).toBe(Date.UTC(2026, 0, 31, 10, 0, 0, 500));
  for (const text of ["yesterday", "2026-01-31", "2026-13-01T00:00:00Z"])
    expect(() => instantMs(text)).toThrow(/neither/);
});

test("addresses and kinds", () => {
  expect(serverUrl("http://localhost:1/")).toBe("http://localhost:1");
  expect(serverUrl("https://host/prefix/")).toBe("https://host/prefix");
  for (const text of ["localhost:7433", "ftp://x", "", "http://"]) expect(() => serverUrl(text)).toThrow(/http/);
  expect(listenAddress("[::1]:0")).toBe("[::1]:0");
  for (const text of ["7433", "host", "host:70000", ":1"]) expect(() => listenAddress(text)).toThrow(/HOST:PORT/);
  expect(["output", "WORKER_ENDED"].map(eventKind)).toEqual([40, 26]);
});
