/** Problems that the service words, as a list: reasons, assumptions, warnings. Their texts are in English. */

import type { Problem } from "../server/forms";

export function ProblemItems({ title, problems }: { title: string; problems: readonly Problem[] }) {
  if (!problems.length) return null;
  return (
    <section class="problem-items">
      <h3>{title}</h3>
      <ul>
        {problems.map((problem, at) => (
          <li key={at} lang="en">
            <bdi>{problem.message}</bdi> <code>{problem.code}</code>
            {problem.hint && <span class="hint">{problem.hint}</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}
