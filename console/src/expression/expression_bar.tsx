/** The bar at the top: the expression, its count, and what is wrong with it. */

import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { label } from "../labels/label";
import { link, reviseLink } from "../link/current";
import { CountDisplay } from "./count_display";
import { openEditor } from "./editor";
import { problems } from "./findings";
import { applyFix, focusExpression, setExpressionEditor } from "./focus";
import { ProblemList } from "./problem_list";

export function ExpressionBar() {
  return (
    <section class="ask" aria-label={label("expression")}>
      <div class="ask-row">
        <ExpressionField />
        <CountDisplay />
      </div>
      <ProblemList />
    </section>
  );
}

function ExpressionField() {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => connectEditor(host.current as HTMLDivElement), []);
  return <div class="expression" ref={host} data-testid="expression" onClick={focusExpression} />;
}

/** Open the editor in *host*; return what closes it. Its text and that of the link follow each other at once. */
function connectEditor(host: HTMLDivElement): () => void {
  const editor = openEditor(host, link.value.expr, {
    onChange: (text) => reviseLink({ expr: text }),
    onFix: applyFix,
    onLeave: () => document.querySelector<HTMLElement>("[role=tab][aria-selected=true], .header nav a")?.focus(),
  });
  const stops = [
    effect(() => editor.describe(label("expression"), label("expression.empty"))),
    effect(() => editor.showText(link.value.expr)),
    effect(() => editor.showProblems(problems.value)),
    () => editor.view.destroy(),
  ];
  setExpressionEditor(editor);
  focusExpression();
  return () => stops.forEach((stop) => stop());
}
