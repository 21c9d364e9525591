/** Steps to a run: vendor and method, message, name; then the requests are written and a dry run is made. Nothing is sent. */

import { useState } from "preact/hooks";
import { type Answered, questionBody } from "../expression/counting";
import { formatNumber, label } from "../labels/label";
import { followParams, reviseParams } from "../link/current";
import { CostTable } from "../parts/cost_table";
import { Notice, RefusalNotice } from "../parts/notice";
import { ProblemItems } from "../parts/problem_items";
import { useAnswer } from "../server/answer";
import { Refusal, ask, indexPath } from "../server/client";
import { isAllowed, snapshot } from "../server/session";
import { OutcomeText } from "../vendors/outcome_text";
import type { CostedPlan, VendorEntry } from "../vendors/plans";
import { messageText, readMessage } from "./draft";
import { MessageForm } from "./message_form";

export function SendSteps({ question, vendor }: { question: Answered; vendor: string }) {
  const vendors = useAnswer<{ vendors: readonly VendorEntry[] }>("v1/vendors");
  const [method, setMethod] = useState<string | null>(null);
  if (!isAllowed("write")) return <Notice title={label("runs.read_only")} />;
  const sendable = (vendors.form?.vendors ?? []).filter((entry) => entry.methods?.length);
  const isSendable = sendable.some((entry) => entry.name === vendor);
  return (
    <div class="send-steps">
      <h2>{label("send.title", { devices: formatNumber(question.count.count) })}</h2>
      <section aria-label={label("send.vendor")}>
        <h3>1 · {label("send.vendor")}</h3>
        <label>
          {label("vendor")}{" "}
          <select value={isSendable ? vendor : ""} onChange={(event) => (reviseParams({ send: event.currentTarget.value }), setMethod(null))}>
            {!isSendable && <option value="">{label("send.choose_vendor")}</option>}
            {sendable.map((entry) => (
              <option key={entry.name} value={entry.name}>
                {entry.title}
              </option>
            ))}
          </select>
        </label>
        {vendors.form && !isSendable && <p class="bound">{label("send.not_sendable", { vendor })}</p>}
        {isSendable && <PlanStep question={question} vendor={vendor} method={method} chooseMethod={setMethod} />}
      </section>
      <section aria-label={label("send.message")}>
        <h3>2 · {label("send.message")}</h3>
        <MessageForm />
      </section>
      <section aria-label={label("dry_run")}>
        <h3>3 · {label("dry_run")}</h3>
        <DryRunStep key={vendor} question={question} vendor={vendor} method={method} isSendable={isSendable} />
      </section>
    </div>
  );
}

interface PlanStepProps {
  readonly question: Answered;
  readonly vendor: string;
  readonly method: string | null;
  readonly chooseMethod: (method: string) => void;
}

function PlanStep({ question, vendor, method, chooseMethod }: PlanStepProps) {
  const body = { ...questionBody(question), vendor, ...(method ? { method } : {}) };
  const { form, refusal, isPending, isSlow } = useAnswer<CostedPlan>(indexPath(question.index, "plan"), body, snapshot.value);
  if (refusal) return <RefusalNotice refusal={refusal} />;
  if (!form) return isSlow ? <p class="bound">{label("counting")}</p> : null;
  return (
    <div class={isPending ? "is-stale" : ""}>
      <p>
        <OutcomeText plan={form} /> <span class="bound">{label("plan.devices", { n: form.devices })}</span>
        {form.removed > 0 && <span class="bound"> · {label("plan.removed", { n: form.removed })}</span>}
      </p>
      {form.costs && (
        <>
          <CostTable costs={form.costs.native} chosen={null} />
          <CostTable costs={form.costs.methods} chosen={method ?? form.costs.chosen} choose={chooseMethod} />
        </>
      )}
      <ProblemItems title={label("plan.assumptions")} problems={form.assumptions} />
    </div>
  );
}

interface DryRunStepProps {
  readonly question: Answered;
  readonly vendor: string;
  readonly method: string | null;
  readonly isSendable: boolean;
}

/** Name the run, and write its requests. What is wrong with the message or the audience is shown here. */
function DryRunStep({ question, vendor, method, isSendable }: DryRunStepProps) {
  const [name, setName] = useState(() => suggestName(vendor));
  const [isRunning, setRunning] = useState(false);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const message = readMessage(messageText.value);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!message || isRunning) return;
    setRunning(true);
    try {
      const body = { ...questionBody(question), name: name.trim(), vendor, message, ...(method ? { method } : {}) };
      await ask(indexPath(question.index, "runs"), { body });
      followParams({ run: name.trim(), send: "" });
    } catch (error) {
      if (error instanceof Refusal) setRefusal(error);
    }
    setRunning(false);
  };
  return (
    <form class="fields" onSubmit={(event) => void submit(event)}>
      <label>
        {label("send.name")}
        <input value={name} dir="auto" onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      {refusal && <RefusalNotice refusal={refusal} />}
      <div class="buttons">
        <button type="submit" class="primary" disabled={!isSendable || !message || !name.trim() || isRunning}>
          {label("send.dry_run")}
        </button>
        <span class="bound" role="status">
          {isRunning ? label("send.writing") : label("send.nothing_sent")}
        </span>
      </div>
    </form>
  );
}

function suggestName(vendor: string): string {
  const now = new Date();
  const part = (value: number) => String(value).padStart(2, "0");
  return `${vendor}-${now.getFullYear()}${part(now.getMonth() + 1)}${part(now.getDate())}-${part(now.getHours())}${part(now.getMinutes())}${part(now.getSeconds())}`;
}
