/** Values of an attribute: the most frequent ones, or those that begin with what is searched. */

import { useState } from "preact/hooks";
import { viewed } from "../expression/counting";
import { formatNumber, label } from "../labels/label";
import { dropAttribute, valueOperand } from "../language/edits";
import { barLength } from "../parts/bar";
import { ValueButton } from "../parts/value_button";
import { useAnswer } from "../server/answer";
import { indexPath } from "../server/client";
import type { Attribute, AttributeValues, ValueCount } from "../server/forms";
import { details, snapshot } from "../server/session";
import { useSettled } from "../server/settled";

const SHOWN = 10;
const SHOWN_MORE = 100;
const SETTLED_AFTER = 150; // milliseconds: the values wait for a pause, so that they do not slow down the count

interface Props {
  readonly index: string;
  readonly attribute: Attribute;
}

export function AttributeValueList({ index, attribute }: Props) {
  const [prefix, setPrefix] = useState("");
  const [limit, setLimit] = useState(SHOWN);
  const path = useSettled(valuesPath(index, attribute, prefix, limit), SETTLED_AFTER);
  const { form } = useAnswer<AttributeValues>(path, undefined, snapshot.value);
  const values = form?.values ?? (prefix ? [] : attribute.most_frequent);
  const isBounded = attribute.values > SHOWN;
  return (
    <>
      {isBounded && (
        <input
          type="search"
          class="value-search"
          placeholder={label("panel.search", { n: attribute.values })}
          aria-label={label("panel.search_of", { name: attribute.name })}
          value={prefix}
          onInput={(event) => setPrefix(event.currentTarget.value)}
        />
      )}
      <ul class="values">
        {values.slice(0, limit).map((value) => (
          <ValueItem key={value.value} attribute={attribute} value={value} />
        ))}
      </ul>
      {form && !values.length && <p class="bound">{label("panel.no_value")}</p>}
      <Bound
        name={attribute.most_frequent.length ? "panel.shown" : "panel.shown_first"}
        shown={Math.min(values.length, limit)}
        total={form?.total ?? attribute.values}
        showMore={limit === SHOWN ? () => setLimit(SHOWN_MORE) : null}
      />
    </>
  );
}

function ValueItem({ attribute, value }: { attribute: Attribute; value: ValueCount }) {
  const total = details.value?.devices || 1;
  const shown = value.within ?? value.devices;
  return (
    <li style={{ "--share": barLength((shown ?? 0) / total), "--whole": barLength((value.devices ?? 0) / total) }}>
      <ValueButton operand={valueOperand(attribute.name, value.value, attribute.multiple)} name={value.value}>
        <span class="value-count" title={value.devices === null ? "" : label("devices", { n: value.devices })}>
          {shown === null ? "" : formatNumber(shown)}
        </span>
      </ValueButton>
    </li>
  );
}

interface BoundProps {
  readonly name: "panel.shown" | "panel.shown_first";
  readonly shown: number;
  readonly total: number;
  readonly showMore: (() => void) | null;
}

/** How many of how many values are shown, and a button for more. Values that are not counted have no frequency. */
function Bound({ name, shown, total, showMore }: BoundProps) {
  if (shown >= total || shown === 0) return null;
  return (
    <p class="bound">
      {label(name, { shown, n: total })}{" "}
      {showMore && (
        <button type="button" class="quiet" onClick={showMore}>
          {label("panel.more")}
        </button>
      )}
    </p>
  );
}

function valuesPath(index: string, attribute: Attribute, prefix: string, limit: number): string {
  const query = new URLSearchParams({ limit: String(limit) });
  if (prefix) query.set("prefix", prefix);
  const question = viewed.value;
  if (question && question.index === index) {
    const within = attribute.multiple ? question.expr : dropAttribute(question.expr, attribute.name);
    if (within && within !== "everyone") query.set("within", within);
    if (question.asOf) query.set("as_of", question.asOf);
  }
  return `${indexPath(index, "attributes", attribute.name)}?${query}`;
}
