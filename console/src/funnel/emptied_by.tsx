/** Why nobody matches: the condition after which nobody is left, and what the audience would be without it. */

import { label } from "../labels/label";
import { followLink } from "../link/current";
import { Notice } from "../parts/notice";
import type { ExplainedLine } from "../server/forms";

export function EmptiedBy({ lines }: { lines: readonly ExplainedLine[] }) {
  const culprit = lines.find((line) => line.remaining === 0) ?? lines.find((line) => line.count === 0 && line.depth > 0);
  const rescues = lines.filter((line) => line.without && line.without.count > 0);
  return (
    <Notice title={label("empty.title")}>
      {culprit && (
        <p>
          {label(culprit.count === 0 ? "empty.nobody_has" : "empty.nobody_left")} <code>{culprit.text}</code>
        </p>
      )}
      {rescues.map(({ text, without }) => (
        <p key={text} class="rescue">
          {label("funnel.without_node")} <code>{text}</code>: {label("devices", { n: without?.count ?? 0 })}{" "}
          <button type="button" onClick={() => without && followLink({ expr: without.expr })}>
            {label("funnel.remove")}
          </button>
        </p>
      ))}
    </Notice>
  );
}
