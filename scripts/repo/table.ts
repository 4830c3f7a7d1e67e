/** Many builds at once, as a table that a person can follow. */

export interface Row {
  readonly name: string;
  readonly version: string;
}

export interface Table {
  /** Tells how it stands with a row. */
  set(name: string, state: string): void;
  /** Tells how a row ended. */
  end(name: string, state: string): void;
  close(): void;
}

/** For tests, and where something else shows the progress. */
export const silent: Table = { set() {}, end() {}, close() {} };

/** For logs: a line as each ends. */
export function plainTable(rows: readonly Row[], write: (line: string) => void): Table {
  const begun = performance.now();
  const line = lineOf(rows);
  return {
    set() {},
    end: (name, state) => write(`[${seconds(begun).padStart(7)}] ${line(name, state)}`),
    close() {},
  };
}

/** For a terminal: one line a package, written again as it changes. */
export function drawnTable(rows: readonly Row[], stream: NodeJS.WriteStream): Table {
  const states = new Map(rows.map(({ name }) => [name, { text: "waits", since: 0, ended: false }]));
  const line = lineOf(rows);
  let drawn = 0;
  const draw = () => {
    const lines = rows.map(({ name }) => {
      const { text, since, ended } = states.get(name) ?? { text: "", since: 0, ended: true };
      const time = ended || since === 0 ? "" : ` ${seconds(since)}`;
      return `\x1b[2K${line(name, text + time).slice(0, Math.max(20, stream.columns - 1))}`;
    });
    stream.write(`${drawn > 0 ? `\x1b[${drawn}A` : ""}${lines.join("\n")}\n`);
    drawn = lines.length;
  };
  const change = (name: string, text: string, ended: boolean) => {
    const before = states.get(name);
    states.set(name, { text, since: before?.since || performance.now(), ended });
    draw();
  };
  draw();
  const timer = setInterval(draw, 500);
  return {
    set: (name, state) => change(name, state, false),
    end: (name, state) => change(name, state, true),
    close: () => clearInterval(timer),
  };
}

function lineOf(rows: readonly Row[]): (name: string, state: string) => string {
  const width = Math.max(0, ...rows.map(({ name }) => name.length));
  const versions = new Map(rows.map(({ name, version }) => [name, version]));
  const wide = Math.max(0, ...versions.values().map((version) => version.length));
  return (name, state) =>
    `${name.padEnd(width)}  ${(versions.get(name) ?? "").padEnd(wide)}  ${state}`;
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
