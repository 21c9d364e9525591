/** Problems that the service words, as a list: reasons, assumptions, warnings. */

import type { Problem } from "../server/forms";
import { ProblemText } from "./problem_text";

export function ProblemItems({ title, problems }: { title: string; problems: readonly Problem[] }) {
  if (!problems.length) return null;
  return (
    <section class="problem-items">
      <h3>{title}</h3>
      <ul>
        {problems.map((problem, at) => (
          <li key={at}>
            <ProblemText problem={problem} /> <code>{problem.code}</code>
            {problem.hint && (
              <span class="hint" lang="en">
                {problem.hint}
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
