/** A value as a button: a click adds it to the expression, Alt-click excludes it, Shift-click makes it the only one. */

import { type Operand, addOperand, excludeOperand, findOperand, keepOnlyOperand } from "../language/edits";
import { label } from "../labels/label";
import { followLink, link } from "../link/current";

interface ValueButtonProps {
  readonly operand: Operand;
  readonly name: string;
  readonly children?: preact.ComponentChildren;
}

type Edit = (expr: string, operand: Operand) => string;

/** Return the edit that a click with these modifiers, or a key, means. */
function chooseEdit(event: { altKey: boolean; shiftKey: boolean }): Edit {
  return event.altKey ? excludeOperand : event.shiftKey ? keepOnlyOperand : addOperand;
}

export function ValueButton({ operand, name, children }: ValueButtonProps) {
  const state = findOperand(link.value.expr, operand);
  const apply = (edit: Edit) => followLink({ expr: edit(link.value.expr, operand) });
  return (
    <span class={`value is-${state}`}>
      <button
        type="button"
        class="value-main"
        title={`${name}\n${label("value.keys")}`}
        aria-pressed={state === "in"}
        onClick={(event) => apply(chooseEdit(event))}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !(event.altKey || event.shiftKey)) return;
          event.preventDefault();
          apply(chooseEdit(event));
        }}
      >
        <bdi class="value-name">{name}</bdi>
        {children}
      </button>
      <span class="value-more">
        <button type="button" tabIndex={-1} aria-pressed={state === "out"} title={label("value.exclude", { name })} aria-label={label("value.exclude", { name })} onClick={() => apply(excludeOperand)}>
          −
        </button>
        <button type="button" tabIndex={-1} title={label("value.only", { name })} aria-label={label("value.only", { name })} onClick={() => apply(keepOnlyOperand)}>
          =
        </button>
      </span>
    </span>
  );
}
