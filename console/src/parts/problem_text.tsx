/** Text of a problem: in the language of the page where its code is known there, with what the service wrote in English. */

import { language } from "../labels/label";
import chinese from "../labels/problems_zh.json";
import { vendorProblems } from "../labels/vendor_problems";
import type { Problem } from "../server/forms";

const CHINESE: Readonly<Record<string, string>> = chinese;

export function ProblemText({ problem, isShort = false }: { problem: Pick<Problem, "code" | "message">; isShort?: boolean }) {
  const translated = language.value === "zh" ? (CHINESE[problem.code] ?? vendorProblems.value[problem.code]?.chinese) : undefined;
  if (translated === undefined) return <bdi lang="en">{problem.message}</bdi>;
  if (isShort) return <span title={problem.message}>{translated}</span>;
  return (
    <>
      {translated} <small class="detail" lang="en">{problem.message}</small>
    </>
  );
}
