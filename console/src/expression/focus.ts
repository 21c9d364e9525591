/** The one editor of the page, for keys and buttons elsewhere. */

import { followLink } from "../link/current";
import type { ExpressionEditor } from "./editor";
import { problems } from "./findings";

let editor: ExpressionEditor | undefined;

export function setExpressionEditor(opened: ExpressionEditor): void {
  editor = opened;
}

export function focusExpression(): void {
  editor?.view.focus();
}

/** Apply the first fix of the problems that are shown; return whether there was one. */
export function applyFix(): boolean {
  const fix = problems.value.find((problem) => problem.fix !== null)?.fix;
  if (fix === null || fix === undefined) return false;
  followLink({ expr: fix });
  return true;
}
