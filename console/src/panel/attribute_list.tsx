/** Attributes of the index in the side panel. An open one shows its values within the audience. */

import { useState } from "preact/hooks";
import { label } from "../labels/label";
import type { Attribute } from "../server/forms";
import { AttributeValueList } from "./attribute_values";
import { RangeForm } from "./range_form";

const OPEN_AT_FIRST = 2;

export function AttributeList({ index, attributes }: { index: string; attributes: readonly Attribute[] }) {
  if (!attributes.length) return null;
  return (
    <section>
      <h2>{label("panel.attributes")}</h2>
      {attributes.map((attribute, at) => (
        <AttributeEntry key={`${index}/${attribute.name}`} index={index} attribute={attribute} isOpenAtFirst={at < OPEN_AT_FIRST} />
      ))}
    </section>
  );
}

interface EntryProps {
  readonly index: string;
  readonly attribute: Attribute;
  readonly isOpenAtFirst: boolean;
}

function AttributeEntry({ index, attribute, isOpenAtFirst }: EntryProps) {
  const [isOpen, setOpen] = useState(isOpenAtFirst);
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <bdi class="attribute-name">{attribute.name}</bdi>
        <small>{label("panel.values", { n: attribute.values })}</small>
      </summary>
      {isOpen && isRange(attribute) && <RangeForm attribute={attribute} />}
      {isOpen && <AttributeValueList index={index} attribute={attribute} />}
    </details>
  );
}

function isRange(attribute: Attribute): boolean {
  return attribute.kind === "number" || attribute.kind === "date";
}
