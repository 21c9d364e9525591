/** Choice of what the audience is compared with: everybody, or a saved segment. The link holds it. */

import { label } from "../labels/label";
import { quoteName } from "../language/names";
import { followLink, link } from "../link/current";
import { details } from "../server/session";

export function BaseChooser() {
  const saved = details.value?.segments.map((segment) => `@${quoteName(segment.name)}`) ?? [];
  const { against } = link.value;
  const choices = against && !saved.includes(against) ? [against, ...saved] : saved;
  return (
    <label class="base-chooser">
      {label("profile.against")}{" "}
      <select value={against} onChange={(event) => followLink({ against: event.currentTarget.value })}>
        <option value="">{label("everybody")}</option>
        {choices.map((expr) => (
          <option key={expr} value={expr}>
            {expr}
          </option>
        ))}
      </select>
    </label>
  );
}
