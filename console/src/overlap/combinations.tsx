/** Exclusive combinations of audiences as an UpSet table: a row for each, the largest first. */

import { useState } from "preact/hooks";
import { formatNumber, formatShare, label } from "../labels/label";
import { followLink } from "../link/current";
import { BarCell } from "../parts/bar";
import type { Combination, Overlap } from "../server/forms";
import { joinExprs } from "./join_exprs";

const SHOWN = 20;

interface Props {
  readonly form: Overlap;
  readonly combinations: readonly Combination[];
  readonly exprs: Readonly<Record<string, string>>;
}

export function Combinations({ form, combinations, exprs }: Props) {
  const [showsAll, setShowsAll] = useState(false);
  const shown = showsAll ? combinations : combinations.slice(0, SHOWN);
  const names = form.segments.map((segment) => segment.name);
  const largest = Math.max(1, ...combinations.map((combination) => combination.count));
  return (
    <>
      <div class="table-title">
        <h2>{label("overlap.combinations")}</h2>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label={label("overlap.combinations")}>
        <table class="upset">
          <caption class="hidden">{label("overlap.combinations")}</caption>
          <thead>
            <tr>
              {names.map((name) => (
                <th key={name} scope="col" class="set-name" title={name}>
                  <bdi>{name}</bdi>
                </th>
              ))}
              <th scope="col" class="number">
                {label("funnel.devices")}
              </th>
              <th scope="col" class="number">
                {label("funnel.share")}
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((combination) => (
              <CombinationRow key={combination.names.join("\n")} combination={combination} names={names} exprs={exprs} largest={largest} devices={form.devices} />
            ))}
          </tbody>
        </table>
      </div>
      <p class="bound">
        {shown.length < combinations.length && (
          <>
            {label("overlap.shown", { shown: shown.length, n: combinations.length })}{" "}
            <button type="button" class="quiet" onClick={() => setShowsAll(true)}>
              {label("panel.more")}
            </button>{" "}
          </>
        )}
        {label("overlap.none", { n: form.none })}
      </p>
    </>
  );
}

interface RowProps {
  readonly combination: Combination;
  readonly names: readonly string[];
  readonly exprs: Readonly<Record<string, string>>;
  readonly largest: number;
  readonly devices: number;
}

function CombinationRow({ combination, names, exprs, largest, devices }: RowProps) {
  const isIn = (name: string) => combination.names.includes(name);
  const exprsOf = (wanted: boolean) => names.filter((name) => isIn(name) === wanted).map((name) => exprs[name] ?? "");
  return (
    <tr>
      {names.map((name) => (
        <td key={name} class="dot">
          <span class={isIn(name) ? "is-in" : ""}>
            <span class="hidden">{label(isIn(name) ? "overlap.in" : "overlap.out")}</span>
          </span>
        </td>
      ))}
      <BarCell share={combination.count / largest}>
        <button type="button" class="cell" title={label("overlap.only", { names: combination.names.join(", ") })} onClick={() => followLink({ expr: joinExprs(exprsOf(true), exprsOf(false)) })}>
          {formatNumber(combination.count)}
        </button>
      </BarCell>
      <td class="number">{formatShare(devices ? combination.count / devices : 0)}</td>
    </tr>
  );
}
