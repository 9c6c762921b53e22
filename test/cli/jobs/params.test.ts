import { expect, test } from "vitest";
import { invalidRequest } from "../../../src/base/errors.ts";
import { readParams, withHint } from "../../../src/cli/jobs/params.ts";

test("a value is JSON where it is JSON, else text", () => {
  const { params } = readParams(undefined, [
    "depth=1",
    "share=-0.5",
    "flag=true",
    "none=null",
    'list=["a",1]',
    'deep={"a":{"b":2}}',
    'quoted="12"',
    "url=https://x/?a=b&c=d",
    "empty=",
    "almost=[1",
    "spaces= 7 ",
  ]);
  expect(params).toEqual({
    depth: 1,
    share: -0.5,
    flag: true,
    none: null,
    list: ["a", 1],
    deep: { a: { b: 2 } },
    quoted: "12",
    url: "https://x/?a=b&c=d",
    empty: "",
    almost: "[1",
    spaces: " 7 ",
  });
});

test("a number that would come back as another text stays text", () => {
  const { params } = readParams(undefined, ["a=1.10", "b=007", "c=1e5", "d=12345678901234567890", "e=1.0", "f=NaN"]);
  expect(params).toEqual({ a: "1.10", b: "007", c: "1e5", d: "12345678901234567890", e: "1.0", f: "NaN" });
});

test("KEY=VALUE goes on top of --params", () => {
  expect(readParams('{"a": 1, "b": [true]}', ["a=2"]).params).toEqual({ a: 2, b: [true] });
});

test("a name like that of a property of every object is a name", () => {
  const { params } = readParams(undefined, ["__proto__=1"]);
  expect(Object.getPrototypeOf(params)).toBe(Object.prototype);
  expect(Object.hasOwn(params, "__proto__")).toBe(true);
});

test("a complaint about a value that was no text says how to write one", () => {
  const given = readParams(undefined, ["tag=12", "list=[1]", "name=x"]);
  const message = (field: string) => (withHint(invalidRequest(field, "it must be string"), given) as Error).message;
  const other = withHint(invalidRequest("params.tag", "it must be >= 20"), given) as Error;
  expect(other.message).toBe("params.tag: it must be >= 20");
  const unknown = withHint(invalidRequest("params.tag", "there is no such parameter"), given) as Error;
  expect(unknown.message).toBe("params.tag: there is no such parameter");
  expect(message("params.tag")).toBe(`params.tag: it must be string (12 is no text; for one write 'tag="12"')`);
  expect(message("params.list")).toBe("params.list: it must be string");
  expect(message("params.name")).toBe("params.name: it must be string");
  expect(message("operation")).toBe("operation: it must be string");
});
