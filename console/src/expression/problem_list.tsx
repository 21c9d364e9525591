/** What is wrong with the expression, with its hint and one click to apply what was probably meant. */

import { label } from "../labels/label";
import { followLink, link } from "../link/current";
import { ProblemText } from "../parts/problem_text";
import { isOnline } from "../server/client";
import { focusExpression } from "./focus";
import { type ShownProblem, problems } from "./findings";

const MAX_SHOWN = 5;

export function ProblemList() {
  const all = problems.value;
  if (!isOnline.value || !all.length) return <div class="problems" role="status" />;
  return (
    <div class="problems" role="status">
      <ul>
        {all.slice(0, MAX_SHOWN).map((problem, at) => (
          <ProblemItem key={`${problem.code}${at}`} problem={problem} />
        ))}
      </ul>
      {all.length > MAX_SHOWN && <p class="bound">{label("problems.more", { n: all.length - MAX_SHOWN })}</p>}
    </div>
  );
}

function ProblemItem({ problem }: { problem: ShownProblem }) {
  const { fix } = problem;
  return (
    <li class={problem.isError ? "problem is-error" : "problem is-warning"}>
      <PlaceInText problem={problem} />
      <span>
        <b>
          <ProblemText problem={problem} />
        </b>
        {problem.hint && (
          <span class="hint" lang="en">
            {problem.hint}
          </span>
        )}
      </span>
      {fix !== null && (
        <button
          type="button"
          class="fix"
          title={fix}
          onClick={() => {
            followLink({ expr: fix });
            focusExpression();
          }}
        >
          {label("problems.fix")} <bdi>{shorten(fix)}</bdi>
        </button>
      )}
    </li>
  );
}

/** The part of the text that the problem is about. It is in the editor too, for those who see colours. */
function PlaceInText({ problem }: { problem: ShownProblem }) {
  if (problem.from === null || problem.to === null || problem.from >= problem.to) return null;
  return <code>{shorten(link.value.expr.slice(problem.from, problem.to))}</code>;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 58)}…` : text;
}
