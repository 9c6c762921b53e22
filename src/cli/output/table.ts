import type { Style } from "./style.ts";

/** Rows in columns that are as wide as their widest cell, under a head. */
export function textTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  withHead: boolean,
  style: Style,
): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] as string).length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join("  ")
      .trimEnd();
  const lines = rows.map((row) => `${line(row)}\n`).join("");
  return withHead ? `${style.bold(line(head))}\n${lines}` : lines;
}
