/** The full form of a calendar event, which says the same: `Sun *-*-* 03:00:00`. */
import { type CalendarSpec, type Chain, type Component, type Field, SECOND } from "./spec.ts";

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/** Writes it in its full form. */
export function textOf(spec: CalendarSpec): string {
  const field = (name: Field) => chainText(spec[name], name);
  const date = `${field("year")}-${field("month")}${spec.fromEnd ? "~" : "-"}${field("day")}`;
  const time = `${field("hour")}:${field("minute")}:${field("second")}`;
  const parts = [weekdayText(spec.weekdays), date, time, placeText(spec)];
  return parts.filter((part) => part !== "").join(" ");
}

function placeText({ place }: CalendarSpec): string {
  if (!place) return "";
  return place.kind === "utc" ? "UTC" : place.name;
}

/** `Mon,Wed..Fri`: two days in a row are no range. */
function weekdayText(bits: number): string {
  const runs: string[] = [];
  for (let day = 0; day < DAYS.length; day++) {
    if ((bits & (1 << day)) === 0) continue;
    const first = day;
    while ((bits & (1 << (day + 1))) !== 0) day++;
    const [begin, end] = [DAYS[first] ?? "", DAYS[day] ?? ""];
    if (day === first) runs.push(begin);
    else runs.push(`${begin}${day === first + 1 ? "," : ".."}${end}`);
  }
  return runs.join(",");
}

function chainText(chain: Chain, field: Field): string {
  if (!chain || (field === "second" && chain.some(isEverySecond))) return "*";
  const unit = field === "second" ? SECOND : 1;
  return chain
    .map((component) => componentText(component, field === "year" ? 4 : 2, unit))
    .join(",");
}

const isEverySecond = ({ start, stop, repeat }: Component) =>
  start === 0 && stop === undefined && repeat === SECOND;

function componentText({ start, stop, repeat }: Component, digits: number, unit: number): string {
  const end = stop === undefined ? "" : `..${numberText(stop, digits, unit)}`;
  // In a range each value is the rule.
  const step =
    repeat === undefined || (end !== "" && repeat === unit)
      ? ""
      : `/${numberText(repeat, 1, unit)}`;
  return `${numberText(start, digits, unit)}${end}${step}`;
}

function numberText(value: number, digits: number, unit: number): string {
  const whole = String(Math.floor(value / unit)).padStart(digits, "0");
  const rest = value % unit;
  return rest === 0 ? whole : `${whole}.${String(rest).padStart(6, "0")}`;
}
