import { describe, expect, it } from "vitest";
import { hasReason } from "../../src/base/errors.ts";
import { isLoopback, parseListenAddress } from "../../src/server/listen-address.ts";

describe("listen addresses", () => {
  it.each([
    ["127.0.0.1:7433", { host: "127.0.0.1", port: 7433 }],
    ["[::1]:0", { host: "::1", port: 0 }],
    ["localhost:65535", { host: "localhost", port: 65535 }],
    ["0.0.0.0:80", { host: "0.0.0.0", port: 80 }],
  ])("reads %s", (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
  });

  it.each([
    "",
    "7433",
    ":7433",
    "127.0.0.1",
    "127.0.0.1:",
    "::1:7433",
    "[::1]",
    "[x]:1",
    "a:65536",
    "a:-1",
    "a:1 ",
    "http://a:1",
  ])("refuses %j", (text) => {
    expect(() => parseListenAddress(text)).toThrow(
      expect.toSatisfy((error: unknown) => hasReason(error, "invalid_request") && error.details.field === "listen"),
    );
  });

  it.each(["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost", "0:0:0:0:0:0:0:1"])("%s is loopback", (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(["0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "128.0.0.1", ""])(
    "%j is not",
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});
