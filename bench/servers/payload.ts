// The payload that every contender carries: 200 bytes of text that start with the sequence and the publisher's clock, so
// that the load client can check order and measure latency whatever the wire looks like (bench/load/payload.c).

const filler = "x".repeat(164);

/** Now, as 16 hexadecimal digits of CLOCK_MONOTONIC, which the load client shares. */
export function stampNow(): string {
  return stampOf(clockNs());
}

/** The clock in nanoseconds. Exact to 128 ns after a month of uptime, which is below what is measured here. */
export function clockNs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e9 + nanoseconds;
}

export function stampOf(ns: number): string {
  return Math.round(ns).toString(16).padStart(16, "0");
}

export function payloadText(sequence: number, stamp: string): string {
  return `ev:${sequence.toString(16).padStart(16, "0")}${stamp}:${filler}`;
}

const template = Buffer.from(payloadText(0, stampOf(0)), "latin1");
const digits = Buffer.from("0123456789abcdef", "latin1");

/** The same as bytes, written digit by digit: what a contender is given must not cost more than what it does with it. */
export function payloadBytes(sequence: number, stamp: string): Buffer {
  const bytes = Buffer.allocUnsafe(template.length);
  bytes.set(template);
  for (let at = 18, rest = sequence; rest > 0; at--, rest = Math.floor(rest / 16))
    bytes[at] = digits[rest % 16] as number;
  for (let at = 0; at < 16; at++) bytes[19 + at] = stamp.charCodeAt(at);
  return bytes;
}
