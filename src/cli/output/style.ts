import type { WriteStream } from "node:tty";

/** How text is emphasised; each gives the text unchanged where there are no colours. */
export interface Style {
  readonly colour: boolean;
  dim(text: string): string;
  bold(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  /** A colour that is the same for the same name. */
  named(text: string, name: string): string;
}

/** Cyan, green, magenta, blue, yellow and their bright forms: legible on light and dark. */
const nameColours = [36, 32, 35, 34, 33, 96, 92, 95, 94, 93];

/** The style for a stream: colours for a terminal, unless NO_COLOR (https://no-color.org) or TERM=dumb says no. */
export function styleFor(stream: Partial<Pick<WriteStream, "isTTY">>, env: NodeJS.ProcessEnv = process.env): Style {
  const noColour = env["NO_COLOR"] !== undefined && env["NO_COLOR"] !== "";
  const colour = stream.isTTY === true && !noColour && env["TERM"] !== "dumb";
  const paint = (code: number) => (text: string) => (colour && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    colour,
    dim: paint(2),
    bold: paint(1),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    named: (text, name) => paint(nameColours[hash(name) % nameColours.length] as number)(text),
  };
}

function hash(text: string): number {
  let value = 0;
  for (let index = 0; index < text.length; index++) value = (value * 31 + text.charCodeAt(index)) >>> 0;
  return value;
}

// Colours of the output itself (SGR) do no harm; every other control sequence could move the cursor, set the title or
// answer on behalf of the terminal.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /\u001b\[[\d;:]*m|[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Text of a worker made safe for one line of a terminal: control characters become visible. */
export function printable(text: string, keepColours: boolean): string {
  return text.replace(controls, (found) => {
    if (found.length > 1) return keepColours ? found : "";
    const code = found.charCodeAt(0);
    return code > 0xff ? `\\u${code.toString(16)}` : `\\x${code.toString(16).padStart(2, "0")}`;
  });
}
