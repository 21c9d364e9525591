/** Overlap: the audience and saved segments, two by two and in all combinations. */

import { questionBody } from "../expression/counting";
import { label } from "../labels/label";
import { quoteName } from "../language/names";
import { link } from "../link/current";
import { Notice, RefusalNotice, Waiting } from "../parts/notice";
import { useAnswer } from "../server/answer";
import { indexPath } from "../server/client";
import type { Overlap as OverlapForm } from "../server/forms";
import { details, snapshot } from "../server/session";
import type { ViewProps } from "../views";
import { Combinations } from "./combinations";
import { Matrix } from "./matrix";
import { SegmentChooser, readChosen } from "./segment_chooser";

const MAX_SETS = 50;
const MAX_COMBINED = 10;

export function Overlap({ question }: ViewProps) {
  const saved = details.value?.segments ?? [];
  const chosen = readChosen(link.value.params.sets, saved, MAX_COMBINED - 1).slice(0, MAX_SETS - 1);
  const { expr: _, ...moment } = questionBody(question);
  const exprs = Object.fromEntries([[label("overlap.this"), question.expr], ...chosen.map((name) => [`@${name}`, `@${quoteName(name)}`])]);
  const path = chosen.length ? indexPath(question.index, "overlap") : null;
  const { form, refusal, isPending, isSlow } = useAnswer<OverlapForm>(path, { ...moment, exprs }, snapshot.value);
  if (!saved.length) return <Notice title={label("overlap.no_segments")} />;
  return (
    <div class={isPending ? "is-stale" : ""}>
      <SegmentChooser saved={saved} chosen={chosen} max={MAX_SETS - 1} />
      {!form && <Waiting isSlow={isSlow} />}
      {refusal ? <RefusalNotice refusal={refusal} /> : form && chosen.length > 0 && <OverlapOf form={form} exprs={exprs} />}
    </div>
  );
}

function OverlapOf({ form, exprs }: { form: OverlapForm; exprs: Readonly<Record<string, string>> }) {
  return (
    <>
      <Matrix form={form} exprs={exprs} />
      {form.combinations ? (
        <Combinations form={form} combinations={form.combinations} exprs={exprs} />
      ) : (
        <p class="bound">{label("overlap.too_many", { n: MAX_COMBINED })}</p>
      )}
    </>
  );
}
