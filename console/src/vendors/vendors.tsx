/** Vendors: what each of them would be sent for this audience, natively or by ids, and why. */

import { questionBody } from "../expression/counting";
import { label } from "../labels/label";
import { link, reviseParams } from "../link/current";
import { RefusalNotice } from "../parts/notice";
import { ProblemText } from "../parts/problem_text";
import { useAnswer } from "../server/answer";
import { indexPath } from "../server/client";
import { snapshot } from "../server/session";
import type { ViewProps } from "../views";
import { OutcomeText } from "./outcome_text";
import { type Plan, type Plans, type Refused, isRefused, outcomeOf } from "./plans";
import { VendorPlan } from "./vendor_plan";

const ORDER = ["native", "mixed", "ids", "nothing", "refused"];

export function Vendors({ question }: ViewProps) {
  const { form, refusal, isPending } = useAnswer<Plans>(indexPath(question.index, "plans"), questionBody(question), snapshot.value);
  if (refusal) return <RefusalNotice refusal={refusal} />;
  if (!form) return null;
  const rows = Object.entries(form.plans).sort(([, one], [, other]) => ORDER.indexOf(outcomeOf(one)) - ORDER.indexOf(outcomeOf(other)));
  const opened = form.plans[link.value.params.vendor ?? ""] ? (link.value.params.vendor ?? "") : "";
  return (
    <div class={isPending ? "vendors is-stale" : "vendors"}>
      <div class="scroll">
        <table class="vendor-table">
          <caption class="hidden">{label("view.vendors")}</caption>
          <thead>
            <tr>
              <th scope="col">{label("vendor")}</th>
              <th scope="col">{label("vendors.outcome")}</th>
              <th scope="col">{label("vendors.why")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, plan]) => (
              <VendorRow key={name} name={name} plan={plan} isOpened={name === opened} />
            ))}
          </tbody>
        </table>
      </div>
      {opened && <VendorPlan key={opened} question={question} vendor={opened} plans={form.plans} />}
    </div>
  );
}

function VendorRow({ name, plan, isOpened }: { name: string; plan: Plan | Refused; isOpened: boolean }) {
  const problems = isRefused(plan) ? plan.refused : [...plan.reasons, ...plan.split_reasons];
  const [first] = problems;
  return (
    <tr class={isOpened ? "is-chosen" : ""}>
      <th scope="row">
        <button type="button" class="row-button" aria-expanded={isOpened} onClick={() => reviseParams({ vendor: isOpened ? "" : name, with: "" })}>
          <bdi>{name}</bdi>
        </button>
      </th>
      <td>
        <OutcomeText plan={plan} />
      </td>
      <td class="why">
        {first && (
          <span>
            <ProblemText problem={first} isShort /> <code>{first.code}</code>
          </span>
        )}
        {problems.length > 1 && <small> {label("vendors.more_reasons", { n: problems.length - 1 })}</small>}
      </td>
    </tr>
  );
}
