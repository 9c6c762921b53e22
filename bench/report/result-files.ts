import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The forms of a result, by the ending of their files. `json` is written first, and says whether the name was free. */
export interface ResultFiles {
  readonly json: string;
  readonly md: string;
  readonly svg: string;
}

/**
 * Writes the files of one run under a name of their own, made of the time in UTC to the second and, where another run has
 * that already, a number: "2026-11-26T091005", "2026-11-26T091005-2".
 *
 * @param date in ISO form.
 * @returns the path of the files without their endings.
 */
export function writeResultFiles(directory: string, date: string, files: ResultFiles): string {
  mkdirSync(directory, { recursive: true });
  const name = join(directory, date.slice(0, 19).replaceAll(":", ""));
  const { json, ...others } = files;
  for (let number = 1; ; number++) {
    const path = number === 1 ? name : `${name}-${number}`;
    try {
      // Refused where it exists, so that of two runs that end at once each keeps its figures.
      writeFileSync(`${path}.json`, json, { flag: "wx" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
      throw error;
    }
    for (const [ending, text] of Object.entries(others)) writeFileSync(`${path}.${ending}`, text);
    return path;
  }
}
