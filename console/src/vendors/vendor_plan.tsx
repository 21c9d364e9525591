/** One vendor's plan: payload beside that of another vendor, reasons, assumptions, methods with their costs. */

import { type Answered, questionBody } from "../expression/counting";
import { formatNumber, label } from "../labels/label";
import { followParams, link, reviseParams } from "../link/current";
import { CostTable } from "../parts/cost_table";
import { CopyButton } from "../parts/copy_button";
import { RefusalNotice } from "../parts/notice";
import { ProblemItems } from "../parts/problem_items";
import { useAnswer } from "../server/answer";
import { indexPath } from "../server/client";
import { key } from "../server/key";
import { isAllowed, snapshot } from "../server/session";
import { OutcomeText } from "./outcome_text";
import { formatCurl, formatPayloads, shownPayloads } from "./payload_text";
import { Payload, PayloadPair } from "./payloads";
import { type CostedPlan, type Plan, type Plans, type Refused, isRefused } from "./plans";

interface VendorPlanProps {
  readonly question: Answered;
  readonly vendor: string;
  readonly plans: Plans["plans"];
}

export function VendorPlan({ question, vendor, plans }: VendorPlanProps) {
  const plan = plans[vendor] as Plan | Refused;
  const other = link.value.params.with ?? "";
  return (
    <section class="vendor-plan" aria-label={vendor} data-testid="vendor-plan">
      <header class="plan-head">
        <h2>
          <bdi>{vendor}</bdi>
        </h2>
        <OutcomeText plan={plan} />
        <OtherChooser vendor={vendor} plans={plans} other={other} />
      </header>
      {isRefused(plan) ? <ProblemItems title={label("vendors.refused")} problems={plan.refused} /> : <PlanBody question={question} vendor={vendor} plan={plan} plans={plans} other={other} />}
    </section>
  );
}

function OtherChooser({ vendor, plans, other }: { vendor: string; plans: Plans["plans"]; other: string }) {
  return (
    <label class="other-vendor">
      {label("vendors.compare")}{" "}
      <select value={other} onChange={(event) => reviseParams({ with: event.currentTarget.value })}>
        <option value="">{label("vendors.no_other")}</option>
        {Object.keys(plans)
          .filter((name) => name !== vendor)
          .map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
      </select>
    </label>
  );
}

function PlanBody({ question, vendor, plan, plans, other }: VendorPlanProps & { plan: Plan; other: string }) {
  const otherPlan = plans[other];
  const payloads = shownPayloads(plan.native);
  return (
    <>
      {otherPlan ? <PayloadPair left={{ name: vendor, plan }} right={{ name: other, plan: otherPlan }} /> : <Payload plan={plan} />}
      {plan.native.length > payloads.length && <p class="bound">{label("vendors.shown_payloads", { shown: payloads.length, n: plan.native.length })}</p>}
      <div class="buttons">
        {plan.native.length > 0 && <CopyButton text={() => formatPayloads(plan.native)}>{label("copy.json")}</CopyButton>}
        <CopyButton text={() => formatCurl(question, vendor, key.value !== "")}>{label("copy.curl")}</CopyButton>
        {isAllowed("write") && (
          <button type="button" onClick={() => followParams({ send: vendor, run: "" }, { view: "runs" })}>
            {label("send.open")}
          </button>
        )}
      </div>
      <div class="plan-notes">
        <ProblemItems title={label("plan.reasons")} problems={plan.reasons} />
        <ProblemItems title={label("plan.split_reasons")} problems={plan.split_reasons} />
        <ProblemItems title={label("plan.assumptions")} problems={plan.assumptions} />
      </div>
      <PlanCosts question={question} vendor={vendor} />
    </>
  );
}

/** What the plan costs. It is asked for only where a plan is looked at, as the ids are measured. */
function PlanCosts({ question, vendor }: { question: Answered; vendor: string }) {
  const body = { ...questionBody(question), vendor };
  const { form, refusal, isPending, isSlow } = useAnswer<CostedPlan>(indexPath(question.index, "plan"), body, snapshot.value);
  if (refusal) return <RefusalNotice refusal={refusal} />;
  if (!form) return isSlow ? <p class="bound">{label("counting")}</p> : null;
  return (
    <section class={isPending ? "is-stale" : ""}>
      <h3>{label("plan.costs")}</h3>
      <p class="bound">
        {label("plan.devices", { n: form.devices })}
        {form.removed > 0 && ` · ${label("plan.removed", { n: form.removed })}`}
      </p>
      {form.policies.length > 0 && (
        <ul class="policies">
          {form.policies.map((policy) => (
            <li key={policy.name}>
              <bdi>{policy.name}</bdi> <code>{policy.policy}</code> −{formatNumber(policy.removed)}
            </li>
          ))}
        </ul>
      )}
      {form.costs ? (
        <CostTable costs={[...form.costs.native, ...form.costs.methods]} chosen={form.costs.chosen} />
      ) : (
        <p class="bound">{label("plan.no_costs", { vendor })}</p>
      )}
    </section>
  );
}
