/** Notice in place of an answer: what is the matter, and what can be done. */

import type { ComponentChildren } from "preact";
import { label } from "../labels/label";
import type { Refusal } from "../server/client";

export function Notice({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="notice" role="status">
      <p class="notice-title">{title}</p>
      {children}
    </div>
  );
}

/** Notice with what the service wrote, which is in English. */
export function RefusalNotice({ refusal }: { refusal: Refusal }) {
  return (
    <Notice title={label("refused")}>
      {refusal.problems.map((problem) => (
        <p lang="en" key={problem.message}>
          {problem.message} {problem.hint && <span class="hint">{problem.hint}</span>} <code>{problem.code}</code>
        </p>
      ))}
    </Notice>
  );
}

/** What stands in place of a first answer that takes longer than one waits without asking. */
export function Waiting({ isSlow }: { isSlow: boolean }) {
  return isSlow ? (
    <p class="bound" role="status">
      {label("counting")}
    </p>
  ) : null;
}
