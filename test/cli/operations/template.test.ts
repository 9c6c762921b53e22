import { describe, expect, test } from "vitest";
import { CommandTemplate, type JsonValue, RefusedValue } from "../../../src/cli/operations/template.ts";

function expanded(command: string[], values: Record<string, JsonValue>, mayLead: string[] = []): string[] {
  return new CommandTemplate(command).expand(new Map(Object.entries(values)), (param) => mayLead.includes(param));
}

function refusal(command: string[], values: Record<string, JsonValue>): [string, string] {
  try {
    return ["accepted", expanded(command, values).join(" ")];
  } catch (error) {
    if (!(error instanceof RefusedValue)) throw error;
    return [error.param, error.message];
  }
}

describe("a placeholder", () => {
  test("is replaced within its argument, whatever the value holds", () => {
    const value = "a b; rm -rf / $(x) `y` '\" \n {b} *";
    expect(expanded(["echo", "{a}", "x={a}!", "{b}-{a}"], { a: value, b: "" })).toEqual([
      "echo",
      value,
      `x=${value}!`,
      `-${value}`,
    ]);
  });

  test("takes numbers, booleans and objects as JSON has them", () => {
    const values = { n: 1.5, flag: true, nothing: null, deep: { a: [1, "x"] } };
    expect(expanded(["p", "{n}", "{flag}", "{nothing}", "{deep}"], values)).toEqual([
      "p",
      "1.5",
      "true",
      "null",
      '{"a":[1,"x"]}',
    ]);
  });

  test("of an array becomes one argument per element when it stands alone, and JSON text within one", () => {
    expect(expanded(["p", "{list}", "end"], { list: ["a b", 2, "{c}"] })).toEqual(["p", "a b", "2", "{c}", "end"]);
    expect(expanded(["p", "{list}", "end"], { list: [] })).toEqual(["p", "end"]);
    expect(expanded(["p", "--list={list}"], { list: ["a", 2] })).toEqual(["p", '--list=["a",2]']);
  });

  test("keeps an empty value as an empty argument", () => {
    expect(expanded(["p", "{a}", ""], { a: "" })).toEqual(["p", "", ""]);
  });
});

test("doubled braces are braces", () => {
  expect(expanded(["awk", "{{print {n}}}", "{{}}", "{{{n}}}"], { n: 2 })).toEqual(["awk", "{print 2}", "{}", "{2}"]);
});

test("a single brace, a placeholder without a name and a NUL are mistakes of the command", () => {
  for (const [argument, says] of [
    ["{", 'single "{"'],
    ["a}", 'single "}"'],
    ["{print $1}", "names no parameter"],
    ["{}", "names no parameter"],
    ["a\0b", "NUL"],
  ] as const) {
    expect(() => new CommandTemplate(["p", argument])).toThrow(says);
  }
});

describe("a value that begins with a dash", () => {
  const option = "--upload-pack=touch /tmp/x";

  test("is refused where it could be taken for an option", () => {
    expect(refusal(["git", "clone", "{url}"], { url: option })).toEqual(["url", expect.stringContaining('"-"')]);
    expect(refusal(["git", "{list}"], { list: ["a", "-x"] })[0]).toBe("list");
    expect(refusal(["head", "{n}"], { n: -5 })[0]).toBe("n");
    // An empty value before it leaves the dash at the beginning.
    expect(refusal(["p", "{a}{b}"], { a: "", b: "-x" })[0]).toBe("b");
  });

  test("is an argument like any other after --, within an argument, or if the operation allows it", () => {
    expect(expanded(["git", "clone", "--", "{url}"], { url: option })).toEqual(["git", "clone", "--", option]);
    expect(expanded(["p", "--url={url}"], { url: option })).toEqual(["p", `--url=${option}`]);
    expect(expanded(["p", "{url}"], { url: option }, ["url"])).toEqual(["p", option]);
    expect(expanded(["p", "-{a}"], { a: "-x" })).toEqual(["p", "--x"]);
  });
});

test("a NUL character is refused, also within an element or an object's text", () => {
  expect(refusal(["p", "{a}"], { a: "x\0y" })).toEqual(["a", expect.stringContaining("NUL")]);
  expect(refusal(["p", "{a}"], { a: ["x", "\0"] })[0]).toBe("a");
  expect(expanded(["p", "{a}"], { a: { b: "\0" } })).toEqual(["p", '{"b":"\\u0000"}']);
});
