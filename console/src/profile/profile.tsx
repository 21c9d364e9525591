/** Profile: what distinguishes the devices of the audience, the attributes that tell most first. */

import { questionBody } from "../expression/counting";
import { formatNumber, formatShare, label } from "../labels/label";
import { link } from "../link/current";
import { Notice, RefusalNotice, Waiting } from "../parts/notice";
import { useAnswer } from "../server/answer";
import { indexPath } from "../server/client";
import type { Profile as ProfileForm, ProfiledAttribute } from "../server/forms";
import { snapshot } from "../server/session";
import type { ViewProps } from "../views";
import { BaseChooser } from "./base_chooser";
import { Histogram } from "./histogram";
import { LiftTable } from "./lift_table";

export function Profile({ question }: ViewProps) {
  const { against } = link.value;
  const body = against ? { ...questionBody(question), against } : questionBody(question);
  const { form, refusal, isPending, isSlow } = useAnswer<ProfileForm>(indexPath(question.index, "profile"), body, snapshot.value);
  return (
    <div class={isPending ? "is-stale" : ""}>
      <BaseChooser />
      {!form && <Waiting isSlow={isSlow} />}
      {refusal ? <RefusalNotice refusal={refusal} /> : form && <ProfileOf form={form} />}
    </div>
  );
}

function ProfileOf({ form }: { form: ProfileForm }) {
  if (form.count === 0) return <Notice title={label("profile.nobody")} />;
  if (form.base_count === 0) return <Notice title={label("profile.empty_base")} />;
  return (
    <>
      <p class="bound">
        {label("profile.about", { n: form.count, base: form.base_count, confidence: `${formatNumber(form.confidence * 100)}%` })}
      </p>
      <div class="cards">
        {form.attributes.map((attribute) => (
          <AttributeCard key={`${attribute.kind}/${attribute.name}`} attribute={attribute} form={form} />
        ))}
      </div>
    </>
  );
}

function AttributeCard({ attribute, form }: { attribute: ProfiledAttribute; form: ProfileForm }) {
  return (
    <section class="card" aria-label={attribute.name}>
      <header>
        <h3>
          <bdi>{attribute.name}</bdi>
        </h3>
        <small title={label("profile.information")}>{describeKnown(attribute, form)}</small>
      </header>
      {attribute.form === "values" ? <LiftTable attribute={attribute} /> : <Histogram attribute={attribute} />}
      {attribute.others && (
        <p class="bound">
          {label(attribute.multiple ? "profile.others_times" : "profile.others", {
            n: attribute.others.values,
            devices: formatNumber(attribute.others.count),
          })}
        </p>
      )}
    </section>
  );
}

/** Say how many devices have a value at all, unless all of them do. */
function describeKnown(attribute: ProfiledAttribute, form: ProfileForm): string {
  if (attribute.known === form.count && attribute.base_known === form.base_count) return "";
  const shares = { share: formatShare(attribute.known / form.count), base: formatShare(attribute.base_known / form.base_count) };
  return label(attribute.kind === "event" ? "profile.known_event" : "profile.known", shares);
}
