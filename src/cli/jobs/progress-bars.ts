import type { Progress } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { printable, type Style } from "../output/style.ts";

/** Bars that are shown at once; the ones that moved last. */
const maxBars = 5;
const barWidth = 24;

/** Up one line, and empty the line from its beginning. */
const up = "\u001b[1A";
const clearLine = "\r\u001b[2K";

/** Bars at the bottom of a terminal, one per task. Whoever writes there erases them first and draws them again. */
export class ProgressBars {
  readonly #style: Style;
  readonly #columns: () => number;
  readonly #tasks = new Map<string, Progress>();
  #drawn = 0;

  constructor(style: Style, columns: () => number) {
    this.#style = style;
    this.#columns = columns;
  }

  update(progress: Progress): void {
    // Last in the map is what moved last; a task that is done makes room first.
    if (!this.#tasks.has(progress.task) && this.#tasks.size >= maxBars) {
      const done = [...this.#tasks.values()].find(isDone) ?? [...this.#tasks.values()][0];
      if (done !== undefined) this.#tasks.delete(done.task);
    }
    this.#tasks.set(progress.task, progress);
  }

  /** Text that takes the bars off the screen. */
  erase(): string {
    if (this.#drawn === 0) return "";
    const text = `${(clearLine + up).repeat(this.#drawn)}${clearLine}`;
    this.#drawn = 0;
    return text;
  }

  /** Leaves them on the screen as they are, and shows them no more. */
  leave(): void {
    this.#tasks.clear();
    this.#drawn = 0;
  }

  /** Text that shows them, each on a line of its own below what is there. */
  draw(): string {
    const lines = [...this.#tasks.values()].map((progress) => progressBar(progress, this.#columns(), this.#style));
    this.#drawn = lines.length;
    return lines.map((line) => `${line}\n`).join("");
  }
}

/** One line of a terminal: task, bar, share, amounts and note. Without a total there is no bar. */
export function progressBar(progress: Progress, columns: number, style: Style): string {
  const { done, total } = progress;
  const task = progress.task === "" ? "" : `${printable(progress.task, false)} `;
  const words = amountAndNote(progress).join("  ");
  if (total === undefined || !(total > 0)) return cut(`${task}${words}`, columns);
  const share = Math.min(1, Math.max(0, done / total));
  const filled = Math.round(share * barWidth);
  const percent = percentOf(done, total).padStart(5);
  const plain = cut(`${task}${"#".repeat(filled)}${"-".repeat(barWidth - filled)}${percent}  ${words}`, columns);
  // Colours take no columns: they are put in when the text has its length.
  const begin = task.length;
  const end = begin + barWidth;
  if (plain.length < end) return plain;
  const bar = plain.slice(begin, end);
  return `${plain.slice(0, begin)}${style.green(bar.slice(0, filled))}${style.dim(bar.slice(filled))}${plain.slice(end)}`;
}

/** The same in words, for where nothing can be drawn. */
export function progressLine(progress: Progress): string {
  const { done, total } = progress;
  const task = progress.task === "" ? "" : `${printable(progress.task, false)}: `;
  const share = total === undefined || !(total > 0) ? "" : ` (${percentOf(done, total)})`;
  const [amount, ...note] = amountAndNote(progress);
  return [`${task}${amount}${share}`, ...note].join("  ");
}

/** Never rounded up to 100, and more than that where more is done than there was to do. */
function percentOf(done: number, total: number): string {
  return `${Math.floor(Math.max(0, (done / total) * 100))}%`;
}

export function isDone({ done, total }: Progress): boolean {
  return total !== undefined && done >= total;
}

function amountAndNote({ done, total, unit, message }: Progress): string[] {
  const bytes = /^bytes?$/i.test(unit);
  const show = (number: number) => (bytes ? byteText(number) : String(Math.round(number * 100) / 100));
  const amount = total === undefined ? show(done) : `${show(done)} of ${show(total)}`;
  const withUnit = bytes || unit === "" ? amount : `${amount} ${printable(unit, false)}`;
  return message === "" ? [withUnit] : [withUnit, printable(message, false)];
}

function byteText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let index = 0;
  while (Math.abs(value) >= 1024 && index < units.length - 1) {
    value /= 1024;
    index++;
  }
  return `${index === 0 ? value : value.toFixed(1)} ${units[index]}`;
}

/** The last column stays empty: some terminals begin a new line with it. */
function cut(text: string, columns: number): string {
  const width = Math.max(10, columns - 1);
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
