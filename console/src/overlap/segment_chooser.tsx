/** Choice of the segments that the audience is compared with. The link holds their names. */

import { label } from "../labels/label";
import { reviseParams } from "../link/current";
import type { SegmentEntry } from "../server/forms";

interface Props {
  readonly saved: readonly SegmentEntry[];
  readonly chosen: readonly string[];
  readonly max: number;
}

/** Return the names of the chosen segments that are saved; without a choice, the first ones. */
export function readChosen(param: string | undefined, saved: readonly SegmentEntry[], count: number): string[] {
  const names = saved.map((segment) => segment.name);
  if (param === undefined || param === "") return names.slice(0, count);
  const wanted = new Set(param.split(",").map(decodeURIComponent));
  return names.filter((name) => wanted.has(name));
}

export function SegmentChooser({ saved, chosen, max }: Props) {
  const toggle = (name: string) => {
    const names = chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name];
    reviseParams({ sets: names.length ? names.map(encodeURIComponent).join(",") : "," });
  };
  return (
    <fieldset class="set-chooser">
      <legend>{label("overlap.sets", { shown: chosen.length, n: saved.length })}</legend>
      {saved.map(({ name, expression }) => (
        <label key={name} title={expression}>
          <input
            type="checkbox"
            checked={chosen.includes(name)}
            disabled={chosen.length >= max && !chosen.includes(name)}
            onChange={() => toggle(name)}
          />
          <bdi>@{name}</bdi>
        </label>
      ))}
    </fieldset>
  );
}
