/** Labels of the page in the language that was chosen, and numbers, days and moments as it writes them. */

import { computed, effect, signal } from "@preact/signals";
import texts from "./labels.json";

export type Language = "en" | "zh";
export type LabelName = keyof typeof texts;
type Values = Readonly<Record<string, string | number>>;

const STORED_AS = "audience.language";

export const language = signal<Language>(readLanguage());

export const locale = computed(() => (language.value === "zh" ? "zh-CN" : navigator.language.startsWith("en") ? navigator.language : "en"));
const numbers = computed(() => new Intl.NumberFormat(locale.value));
const shares = computed(() => new Intl.NumberFormat(locale.value, { style: "percent", maximumFractionDigits: 1, minimumFractionDigits: 1 }));
const smallShares = computed(() => new Intl.NumberFormat(locale.value, { style: "percent", maximumSignificantDigits: 1 }));
const plurals = computed(() => new Intl.PluralRules(locale.value));

effect(() => {
  document.documentElement.lang = locale.value;
  localStorage.setItem(STORED_AS, language.value);
});

/**
 * Return the label *name* with *values* in place of `{name}`. Numbers are written by the locale. A label of two forms,
 * `one | many`, is chosen by the value `n`.
 */
export function label(name: LabelName, values: Values = {}): string {
  const [one = "", many = one] = texts[name][language.value].split(" | ");
  const text = plurals.value.select(Number(values.n ?? 0)) === "one" ? one : many;
  return text.replace(/\{(\w+)\}/g, (_, part: string) => {
    const value = values[part] ?? "";
    return typeof value === "number" ? formatNumber(value) : value;
  });
}

export function formatNumber(value: number): string {
  return numbers.value.format(value);
}

/** Return a share as a percentage: with one decimal, or one digit that is not zero. */
export function formatShare(value: number): string {
  const isSmall = value > 0 && value < 0.0005;
  if (value <= 0 || value >= 1) return smallShares.value.format(value);
  const isAlmostAll = value < 1 && value > 0.9995;
  if (isAlmostAll) return `> ${shares.value.format(0.999)}`;
  return (isSmall ? smallShares : shares).value.format(value);
}

/** Return a number of milliseconds, with two digits where they are few. */
export function formatMilliseconds(value: number): string {
  const digits = value < 10 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 0 };
  return `${new Intl.NumberFormat(locale.value, digits).format(value)} ms`;
}

const UNITS = [
  { unit: "day", seconds: 86_400 },
  { unit: "hour", seconds: 3_600 },
  { unit: "minute", seconds: 60 },
  { unit: "second", seconds: 1 },
] as const;

/** Return a duration in the largest unit that it has at least one of: `1.5 min`. */
export function formatSeconds(value: number): string {
  const { unit, seconds } = UNITS.find((candidate) => value >= candidate.seconds) ?? { unit: "second", seconds: 1 };
  const options = { style: "unit", unit, unitDisplay: "short", maximumSignificantDigits: 2 } as const;
  return new Intl.NumberFormat(locale.value, options).format(value / seconds);
}

const SIZES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** Return a size in the largest unit of a thousand bytes: `4.2 MB`. */
export function formatBytes(value: number): string {
  const at = Math.min(SIZES.length - 1, Math.floor(Math.log10(Math.max(value, 1)) / 3));
  const options = { style: "unit", unit: SIZES[at] ?? "byte", unitDisplay: "short", maximumSignificantDigits: 3 } as const;
  return new Intl.NumberFormat(locale.value, options).format(value / 1000 ** at);
}

/** Return a moment such as `28 Nov 09:00 Shanghai` in the zone of the index. */
export function formatMoment(moment: string, timezone: string): string {
  const format = new Intl.DateTimeFormat(locale.value, {
    timeZone: timezone,
    day: "numeric",
    month: "short",
    ...(isThisYear(moment) ? {} : { year: "numeric" }),
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  return `${format.format(new Date(moment))} ${formatZone(timezone)}`;
}

/** Return a day such as `8 Apr 2020`; a day has no zone. */
export function formatDay(day: string): string {
  const date = new Date(`${day.slice(0, 10)}T00:00:00Z`);
  if (Number.isNaN(date.getTime())) return day;
  return new Intl.DateTimeFormat(locale.value, { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" }).format(date);
}

function formatZone(timezone: string): string {
  return timezone.split("/").at(-1)?.replaceAll("_", " ") ?? timezone;
}

function isThisYear(moment: string): boolean {
  return new Date(moment).getFullYear() === new Date().getFullYear();
}

function readLanguage(): Language {
  const stored = localStorage.getItem(STORED_AS);
  if (stored === "en" || stored === "zh") return stored;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}
