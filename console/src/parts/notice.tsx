/** Notice in place of an answer: what is the matter, and what can be done. */

import type { ComponentChildren } from "preact";
import { label } from "../labels/label";
import type { Refusal } from "../server/client";
import { readIndexes } from "../server/session";
import { ProblemText } from "./problem_text";

const GONE: ReadonlySet<string> = new Set(["no-snapshot", "snapshot-gone"]);

export function Notice({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="notice" role="status">
      <p class="notice-title">{title}</p>
      {children}
    </div>
  );
}

/** Notice with what the service wrote. A snapshot that is gone has a notice of its own, as asking again helps. */
export function RefusalNotice({ refusal }: { refusal: Refusal }) {
  const isGone = GONE.has(refusal.problem.code);
  return (
    <Notice title={label(isGone ? "snapshot.gone" : "refused")}>
      {refusal.problems.map((problem) => (
        <p key={problem.message}>
          <ProblemText problem={problem} />{" "}
          {problem.hint && (
            <span class="hint" lang="en">
              {problem.hint}
            </span>
          )}{" "}
          <code>{problem.code}</code>
        </p>
      ))}
      {isGone && (
        <p>
          <button type="button" onClick={() => void readIndexes()}>
            {label("snapshot.ask_current")}
          </button>
        </p>
      )}
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
